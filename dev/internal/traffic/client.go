// Package traffic is what clients do: calls of the API, a load that runs while something happens to a deployment, and the README's
// examples. The tests of real deployments use it.
package traffic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Client calls the API at URL.
type Client struct {
	HTTP *http.Client
	URL  string // without a slash at the end
}

// Answer is the API's envelope.
type Answer struct {
	Code       int             `json:"-"`
	Header     http.Header     `json:"-"`
	Status     int             `json:"status"`
	Data       json.RawMessage `json:"data"`
	Error      string          `json:"error"`
	NextCursor string          `json:"nextCursor"`
}

// Refused is an answer other than 200.
type Refused struct {
	Call       string // method and path
	Code       int
	RetryAfter string
	Message    string
}

func (r *Refused) Error() string { return fmt.Sprintf("%s: %d: %s", r.Call, r.Code, r.Message) }

// Send returns the answer, whatever its status. An error means that there was none, or not one of the API's.
func (c *Client) Send(ctx context.Context, method, path string, header http.Header, body any) (a Answer, err error) {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return a, err
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, content)
	if err != nil {
		return a, err
	}
	if header != nil {
		request.Header = header
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, fmt.Errorf("%s %s: %s: not an answer of the API: %.200s", method, path, response.Status, raw)
	}
	a.Code, a.Header = response.StatusCode, response.Header
	return a, nil
}

// Bearer is the header with an access token, or none if it is "".
func Bearer(token string) http.Header {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return header
}

// Call decodes the answer's data into dest, unless that is nil. An answer other than 200 is an error, *Refused.
func (c *Client) Call(ctx context.Context, method, path, token string, body, dest any) error {
	_, err := c.call(ctx, method, path, Bearer(token), body, dest)
	return err
}

func (c *Client) call(ctx context.Context, method, path string, header http.Header, body, dest any) (Answer, error) {
	a, err := c.Send(ctx, method, path, header, body)
	if err != nil {
		return a, err
	}
	if a.Code != http.StatusOK {
		return a, &Refused{Call: method + " " + path, Code: a.Code, RetryAfter: a.Header.Get("Retry-After"), Message: a.Error}
	}
	if dest == nil {
		return a, nil
	}
	return a, json.Unmarshal(a.Data, dest)
}

const password = "correct horse battery"

// SignUp signs a user up, or logs in if it was there, and returns its access token.
func (c *Client) SignUp(ctx context.Context, name string) (token string, err error) {
	var user struct{ AccessToken string }
	err = c.Call(ctx, http.MethodPost, "/users", "", map[string]string{
		"username": name, "password": password, "passwordConfirmation": password, "email": name + "@example.com", "displayName": name,
	}, &user)
	return user.AccessToken, err
}

// LogIn returns an access token of a user of SignUp.
func (c *Client) LogIn(ctx context.Context, name string) (token string, err error) {
	var tokens struct{ AccessToken string }
	err = c.Call(ctx, http.MethodPost, "/users/authorize", "", map[string]string{"username": name, "password": password}, &tokens)
	return tokens.AccessToken, err
}

// Post posts a tweet and returns its ID. Calls with the same key, unless it is "", post it once.
func (c *Client) Post(ctx context.Context, token, content, key string) (id string, err error) {
	header := Bearer(token)
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	var tweet struct{ ID string }
	_, err = c.call(ctx, http.MethodPost, "/tweets", header, map[string]string{"content": content}, &tweet)
	return tweet.ID, err
}

// Follow makes the token's user follow another.
func (c *Client) Follow(ctx context.Context, token, whom string) error {
	return c.Call(ctx, http.MethodPost, "/follow", token, map[string]string{"followingUsername": whom}, nil)
}

// Feed returns the IDs of the tweets in the feed of the token's user, newest first.
func (c *Client) Feed(ctx context.Context, token string) (ids []string, err error) {
	return c.tweets(ctx, "/feeds/me", token)
}

// Tweets returns the IDs of a user's tweets, newest first.
func (c *Client) Tweets(ctx context.Context, name string) (ids []string, err error) {
	return c.tweets(ctx, "/users/"+name+"/tweets", "")
}

// Names returns all users of a list at path, in its order.
func (c *Client) Names(ctx context.Context, path, token string) (names []string, err error) {
	return pages(ctx, c, path, token, func(user struct{ Username string }) string { return user.Username })
}

func (c *Client) tweets(ctx context.Context, path, token string) ([]string, error) {
	return pages(ctx, c, path, token, func(tweet struct{ ID string }) string { return tweet.ID })
}

// pages reads all pages of a list.
func pages[T any](ctx context.Context, c *Client, path, token string, name func(T) string) (all []string, err error) {
	for next := path + "?limit=100"; ; {
		var page []T
		a, err := c.call(ctx, http.MethodGet, next, Bearer(token), nil, &page)
		if err != nil {
			return nil, err
		}
		for _, entry := range page {
			all = append(all, name(entry))
		}
		if a.NextCursor == "" {
			return all, nil
		}
		next = path + "?limit=100&cursor=" + url.QueryEscape(a.NextCursor)
	}
}

// Eventually calls f until it returns nil, at most for the time given, and then returns its last error.
func Eventually(ctx context.Context, limit time.Duration, f func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %w", limit, err)
		}
		if err := Wait(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// Wait returns after that time, or with the context's error if it ends first.
func Wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
