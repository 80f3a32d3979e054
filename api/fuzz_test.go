package api

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	stdjson "encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
)

// What make fuzz finds is kept in testdata/fuzz, which a plain go test runs, too.

func FuzzOnlyOurCursorsAreRead(f *testing.F) {
	c := newCursors([]string{"a key"})
	id := uuid.MustParse("01a20b7a-6605-75c2-93a0-55606f63d101")
	f.Add("tweets/ann", c.make("tweets/ann", id[:]), id[:])
	f.Add("followers/ann", c.make("followings/ann", []byte("bob")), []byte("bob"))
	f.Add("", "", []byte{0})
	f.Fuzz(func(t *testing.T, list, text string, last []byte) {
		if got, err := c.parse(list, text); err == nil {
			require.Equal(t, text, c.make(list, got), "there is one text for each cursor")
		} else {
			require.Equal(t, twtr.Invalid, twtr.ErrorCode(err))
		}
		if len(last) > 0 {
			got, err := c.parse(list, c.make(list, last))
			require.NoError(t, err)
			require.Equal(t, last, got)
		}
	})
}

func FuzzOnlyATokenThatWeSignedIsAccepted(f *testing.F) {
	now := time.Now()
	keys := []Key{{ID: "k", Secret: bytes.Repeat([]byte("k"), 32)}}
	tokens := newTokens(keys, func() time.Time { return now })
	good, err := tokens.issue(identity{"ann", uuid.New()})
	require.NoError(f, err)
	f.Add(good)
	f.Add("eyJhbGciOiJub25lIiwia2lkIjoiayJ9." + strings.Split(good, ".")[1] + ".")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		who, err := tokens.verify(text)
		if err != nil {
			require.Equal(t, twtr.Unauthenticated, twtr.ErrorCode(err))
			require.Empty(t, who)
			return
		}
		require.NoError(t, twtr.ValidateUsername("sub", who.username))
		require.NotEqual(t, uuid.Nil, who.session)
		end := strings.LastIndexByte(text, '.')
		mac := hmac.New(sha256.New, keys[0].Secret)
		mac.Write([]byte(text[:end]))
		signature, err := base64.RawURLEncoding.DecodeString(text[end+1:])
		require.NoError(t, err)
		require.Equal(t, mac.Sum(nil), signature)
	})
}

func FuzzARefreshTokenHasOneText(f *testing.F) {
	f.Add(newRefreshToken(uuid.New()).String())
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if token, ok := parseRefreshToken(text); ok {
			require.Equal(t, text, token.String())
		}
	})
}

func FuzzABodyIsReadToTheLetterOrRefused(f *testing.F) {
	f.Add([]byte(`{"username":"ann","password":"correct horse","passwordConfirmation":"correct horse","email":"ann@example.com","displayName":"Ann"}`))
	f.Add([]byte(`{"content":"hello,\n<world> \ud83d\udc69\u0000"}`))
	f.Add([]byte(`{"content":"\ud800"}`))
	f.Add([]byte("{\"content\":\"\xff\"}"))
	f.Add([]byte(`{"content":1} {}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, _ := gin.CreateTestContext(httptest.NewRecorder())
		c.Request = httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		var in struct {
			Content              string `json:"content"`
			Username             string `json:"username"`
			Password             string `json:"password"`
			PasswordConfirmation string `json:"passwordConfirmation"`
			Email                string `json:"email"`
			DisplayName          string `json:"displayName"`
		}
		read, err := readBody(c, time.Second)
		require.NoError(t, err)
		c.Set(bodyKey, requestBody{read, nil})
		if err := readJSON(c, &in); err != nil {
			require.Equal(t, twtr.Malformed, twtr.ErrorCode(err))
			return
		}
		var plain map[string]any
		require.NoError(t, stdjson.Unmarshal(bytes.TrimPrefix(body, []byte("\ufeff")), &plain))
		if content, ok := plain["content"].(string); ok {
			require.Equal(t, content, in.Content)
		}
		if err := (twtr.Post{Content: in.Content}).Validate(); err != nil {
			require.Equal(t, twtr.Invalid, twtr.ErrorCode(err))
		}
		sign := twtr.SignUp{Username: in.Username, Password: in.Password, PasswordConfirmation: in.PasswordConfirmation,
			Email: in.Email, DisplayName: in.DisplayName}
		if err := sign.Validate(); err != nil {
			require.Equal(t, twtr.Invalid, twtr.ErrorCode(err))
		}
	})
}
