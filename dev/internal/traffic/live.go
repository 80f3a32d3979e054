package traffic

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// LiveTweets is how many tweets LiveFeed posts, one a second, and liveLimit is the time in which each must arrive. A stream checks the
	// store less often, so it cannot find all there in time; and a proxy that waits for more bytes passes none on in time.
	LiveTweets = 5
	liveLimit  = 2 * time.Second
)

// LiveFeed posts tweets while a follower has a live feed open, and returns the longest time from a request until its event arrived.
func LiveFeed(ctx context.Context, client *Client, prefix string) (longest time.Duration, err error) {
	author, err := client.SignUp(ctx, prefix+"_author")
	if err != nil {
		return 0, err
	}
	reader, err := client.SignUp(ctx, prefix+"_reader")
	if err != nil {
		return 0, err
	}
	if err := client.Follow(ctx, reader, prefix+"_author"); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var lines <-chan string
	// After an upgrade a proxy may still use a process of before, which has no live feeds.
	if err := Eventually(ctx, 5*liveLimit, func() (err error) {
		lines, err = client.stream(ctx, reader)
		return err
	}); err != nil {
		return 0, err
	}
	if err := awaitLine(ctx, lines, "id: ", ""); err != nil {
		return 0, fmt.Errorf("the stream does not begin: %w", err)
	}
	for i := range LiveTweets {
		began := time.Now()
		id, err := client.Post(ctx, author, fmt.Sprintf("live, number %d", i+1), "")
		if err != nil {
			return 0, err
		}
		if err := awaitLine(ctx, lines, "data: ", `"id":"`+id+`"`); err != nil {
			return 0, fmt.Errorf("the event of tweet %d: %w", i+1, err)
		}
		longest = max(longest, time.Since(began))
		if err := Wait(ctx, 1100*time.Millisecond); err != nil { // the limit of a user's tweets
			return 0, err
		}
	}
	return longest, nil
}

// stream returns the lines of a live feed until ctx ends.
func (c *Client) stream(ctx context.Context, token string) (<-chan string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer time.AfterFunc(liveLimit, cancel).Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/feeds/me/stream", nil)
	if err != nil {
		return nil, err
	}
	request.Header = Bearer(token)
	response, err := (&http.Client{Transport: c.HTTP.Transport}).Do(request) //nolint:bodyclose // the goroutine closes it
	if err != nil {
		return nil, fmt.Errorf("no response, or not within %v: %w", liveLimit, err)
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return nil, &Refused{Call: "GET /feeds/me/stream", Code: response.StatusCode, Message: string(body)}
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		defer response.Body.Close()
		for scanner := bufio.NewScanner(response.Body); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines, nil
}

// awaitLine reads up to a line that begins and contains so.
func awaitLine(ctx context.Context, lines <-chan string, begin, part string) error {
	ctx, cancel := context.WithTimeout(ctx, liveLimit)
	defer cancel()
	for {
		select {
		case line, ok := <-lines:
			switch {
			case !ok:
				return io.ErrUnexpectedEOF
			case strings.HasPrefix(line, begin) && strings.Contains(line, part):
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", liveLimit, ctx.Err())
		}
	}
}
