package measure

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// These must be the settings auth.keys and seal.key of the API that is called with a [Token].
const (
	AuthKeys = "bench:" + secret
	SealKey  = "s" + secret

	secret = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// Content is the text of the tweets that benchmarks post: 140 characters.
var Content = strings.Repeat("a tweet as long ", 9)[:140]

// tokenClaims are what an access token says.
type tokenClaims struct {
	jwt.RegisteredClaims
	Session string `json:"sid"`
}

// Token is an access token as the API issues them, for a user who need not have signed up.
func Token(username string) string {
	unsigned := jwt.NewWithClaims(jwt.SigningMethodHS256, tokenClaims{Session: uuid.NewString(), RegisteredClaims: jwt.RegisteredClaims{
		Issuer: "twtr", Audience: jwt.ClaimStrings{"twtr-api"}, Subject: username, ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(12 * time.Hour)),
	}})
	unsigned.Header["kid"] = "bench"
	signed, err := unsigned.SignedString([]byte(secret))
	if err != nil {
		panic(err) // only for a key of another type
	}
	return signed
}

// API calls one API.
type API struct {
	url    string
	client *http.Client
}

// NewAPI makes a client for an API at http://host:port.
func NewAPI(url string) *API {
	return &API{url: url, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: 30 * time.Second}}
}

// From makes a client for the same API that connects from another address of this machine.
func (a *API) From(address string) *API {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &API{url: a.url, client: &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}, Timeout: a.client.Timeout}}
}

// Close closes the idle connections.
func (a *API) Close() { a.client.CloseIdleConnections() }

// Call sends a request and decodes the answer's data into dest, unless that is nil. An answer other than 200 is an error.
func (a *API) Call(ctx context.Context, method, path, token, body string, dest any) error {
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, content)
	}
	if dest == nil {
		return nil
	}
	return json.Unmarshal(content, &struct{ Data any }{dest})
}

// Post posts a tweet and returns its id.
func (a *API) Post(ctx context.Context, token string) (uuid.UUID, error) {
	var tweet struct{ ID uuid.UUID }
	err := a.Call(ctx, http.MethodPost, "/tweets", token, fmt.Sprintf(`{"content":%q}`, Content), &tweet)
	return tweet.ID, err
}
