// A client of the API that has nothing but what oapi-codegen makes of api/openapi.yaml. It prints nothing if all is as it should be.
//
//	curl -O http://127.0.0.1:3002/openapi.yaml && go tool oapi-codegen -config generate.yaml openapi.yaml && go run . http://127.0.0.1:3002
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// session is a client that is logged in.
type session struct {
	*ClientWithResponses

	tokens TokenPair
}

func run(ctx context.Context, url string) error {
	s, err := signUp(ctx, url)
	if err != nil {
		return fmt.Errorf("sign-up: %w", err)
	}
	posted, err := s.post(ctx, 250)
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	if err := s.readBack(ctx, posted); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if err := s.refreshThroughALostAnswer(ctx); err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	if err := s.logOut(ctx); err != nil {
		return fmt.Errorf("log-out: %w", err)
	}
	return nil
}

func signUp(ctx context.Context, url string) (*session, error) {
	c, err := NewClientWithResponses(url)
	if err != nil {
		return nil, err
	}
	ann := SignUp{Username: "ann", Password: "correct horse", PasswordConfirmation: "correct horse", Email: "ann@example.com"}
	refused, err := c.CreateUserWithResponse(ctx, ann)
	if err != nil {
		return nil, err
	}
	if refused.JSON422 == nil || refused.JSON422.Code != CodeInvalid || *refused.JSON422.Field != "displayName" {
		return nil, fmt.Errorf("without a displayName: %s", refused.Body)
	}
	ann.DisplayName = "Ann"
	made, err := c.CreateUserWithResponse(ctx, ann)
	if err != nil {
		return nil, err
	}
	if made.JSON200 == nil || made.JSON200.Data.Username != ann.Username {
		return nil, fmt.Errorf("%s", made.Body)
	}
	data := made.JSON200.Data
	return &session{c, TokenPair{AccessToken: data.AccessToken, RefreshToken: data.RefreshToken}}, nil
}

// authorize adds the access token to a request.
func (s *session) authorize(_ context.Context, r *http.Request) error {
	r.Header.Set("Authorization", "Bearer "+s.tokens.AccessToken)
	return nil
}

func (s *session) post(ctx context.Context, n int) (posted []Tweet, err error) {
	for i := range n {
		key, tweet := fmt.Sprint("tweet-", i), NewTweet{Content: fmt.Sprint("tweet ", i)}
		answer, err := s.PostTweetWithResponse(ctx, &PostTweetParams{IdempotencyKey: &key}, tweet, s.authorize)
		if err != nil {
			return nil, err
		}
		if answer.JSON200 == nil || answer.Headers200.IdempotentReplayed != nil {
			return nil, fmt.Errorf("%d: %s", i, answer.Body)
		}
		posted = append(posted, answer.JSON200.Data)
	}
	// The last one again, as after a lost answer.
	last := posted[n-1]
	key := fmt.Sprint("tweet-", n-1)
	again, err := s.PostTweetWithResponse(ctx, &PostTweetParams{IdempotencyKey: &key}, NewTweet{Content: last.Content}, s.authorize)
	if err != nil {
		return nil, err
	}
	if again.JSON200 == nil || again.JSON200.Data != last || again.Headers200.IdempotentReplayed == nil {
		return nil, fmt.Errorf("again: %s", again.Body)
	}
	return posted, nil
}

// readBack pages through the tweets, newest first.
func (s *session) readBack(ctx context.Context, posted []Tweet) error {
	var read []Tweet
	var sizes []int
	limit := 100
	for params := (&ListTweetsParams{Limit: &limit}); ; {
		page, err := s.ListTweetsWithResponse(ctx, "ann", params)
		if err != nil {
			return err
		}
		if page.JSON200 == nil {
			return fmt.Errorf("%s", page.Body)
		}
		read, sizes = append(read, page.JSON200.Data...), append(sizes, len(page.JSON200.Data))
		if params.Cursor = page.JSON200.NextCursor; params.Cursor == nil {
			break
		}
	}
	slices.Reverse(read)
	if !slices.Equal(sizes, []int{100, 100, 50}) || !slices.Equal(read, posted) {
		return fmt.Errorf("pages of %v, and as posted: %t", sizes, slices.Equal(read, posted))
	}
	one, err := s.ReadTweetOrListWithResponse(ctx, posted[0].Id.String(), nil)
	if err != nil {
		return err
	}
	if one.JSON200 == nil {
		return fmt.Errorf("%s", one.Body)
	}
	if tweet, err := one.JSON200.AsOneTweet(); err != nil || tweet.Data != posted[0] {
		return fmt.Errorf("%s, %w", one.Body, err)
	}
	return nil
}

// refreshThroughALostAnswer spends the refresh token twice, and continues with the tokens of the second answer.
func (s *session) refreshThroughALostAnswer(ctx context.Context) error {
	spent := RefreshJSONRequestBody{RefreshToken: s.tokens.RefreshToken}
	lost, err := s.Refresh(ctx, spent)
	if err != nil {
		return fmt.Errorf("the first time: %w", err)
	}
	lost.Body.Close()
	if lost.StatusCode != http.StatusOK {
		return fmt.Errorf("the first time: %s", lost.Status)
	}
	if err := s.refresh(ctx); err != nil {
		return fmt.Errorf("the same token again: %w", err)
	}
	if err := s.refresh(ctx); err != nil {
		return fmt.Errorf("its successor: %w", err)
	}
	me, err := s.ReadMeWithResponse(ctx, s.authorize)
	if err != nil {
		return err
	}
	if me.JSON200 == nil || me.JSON200.Data.Username != "ann" {
		return fmt.Errorf("the new access token: %s", me.Body)
	}
	return nil
}

func (s *session) refresh(ctx context.Context) error {
	answer, err := s.RefreshWithResponse(ctx, RefreshJSONRequestBody{RefreshToken: s.tokens.RefreshToken})
	if err != nil {
		return err
	}
	if answer.JSON200 == nil {
		return fmt.Errorf("%s", answer.Body)
	}
	s.tokens = answer.JSON200.Data
	return nil
}

// logOut ends the session; neither token is taken any more.
func (s *session) logOut(ctx context.Context) error {
	token := LogoutJSONRequestBody{RefreshToken: s.tokens.RefreshToken}
	if out, err := s.LogoutWithResponse(ctx, token); err != nil || out.JSON200 == nil {
		return fmt.Errorf("%v, %w", out, err)
	}
	if answer, err := s.RefreshWithResponse(ctx, RefreshJSONRequestBody(token)); err != nil || answer.JSON401 == nil {
		return fmt.Errorf("the refresh token: %v, %w", answer, err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		me, err := s.ReadMeWithResponse(ctx, s.authorize)
		if err != nil {
			return fmt.Errorf("the access token is still taken: %w", err)
		}
		if me.JSON401 != nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
}
