package main

import (
	"bytes"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/failure/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	sdklog "go.temporal.io/sdk/log"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/twtr-dev/twtr/cmd"
	"github.com/twtr-dev/twtr/internal/codec"
)

// keyOne and keyTwo are keys of temporal.codec_keys.
var keyOne, keyTwo = strings.Repeat("1", 32), strings.Repeat("2", 32)

// codecKeys are the flags of a settings file with these keys.
func codecKeys(t *testing.T, keys string) []string {
	file := filepath.Join(t.TempDir(), "twtr.yaml")
	require.NoError(t, os.WriteFile(file, []byte("temporal.codec_keys: '"+keys+"'\n"), 0o600))
	return []string{"--config", file}
}

// withCodecKeys is the same stack with an API and workers of its own, which have other keys.
func (s *stack) withCodecKeys(keys ...string) *stack {
	return s.with(func(c *cmd.Config) { c.Codec.Keys = keys })
}

// storedHistories are the histories of all workflows, by their types, as Temporal has them.
func (s *stack) storedHistories() map[string][]*history.History {
	c, err := client.Dial(client.Options{HostPort: s.temporal, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	require.NoError(s.t, err)
	defer c.Close()
	list, err := c.ListWorkflow(s.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{})
	require.NoError(s.t, err)
	histories := map[string][]*history.History{}
	for _, w := range list.GetExecutions() {
		var h history.History
		run := w.GetExecution()
		events := c.GetWorkflowHistory(s.t.Context(), run.GetWorkflowId(), run.GetRunId(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(s.t, err)
			h.Events = append(h.Events, event)
		}
		histories[w.GetType().GetName()] = append(histories[w.GetType().GetName()], &h)
	}
	return histories
}

// requireEncrypted wants each payload of the history to be encrypted, and no failure to say what went wrong.
func requireEncrypted(t *testing.T, name string, h *history.History) {
	payloads := 0
	require.NoError(t, proxy.VisitPayloads(t.Context(), h, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true,
		Visitor: func(_ *proxy.VisitPayloadsContext, all []*common.Payload) ([]*common.Payload, error) {
			for _, p := range all {
				payloads++
				require.Equal(t, codec.Encoding, string(p.GetMetadata()["encoding"]), "%s: %s", name, p)
			}
			return all, nil
		},
	}))
	require.NotZero(t, payloads, name)
	require.NoError(t, proxy.VisitFailures(t.Context(), h, proxy.VisitFailuresOptions{
		Visitor: func(_ *proxy.VisitFailuresContext, f *failure.Failure) error {
			if f.GetApplicationFailureInfo() != nil { // others are the server's
				require.Equal(t, "Encoded failure", f.GetMessage(), name)
				require.Empty(t, f.GetStackTrace(), name)
			}
			return nil
		},
	}))
}

func TestWithACodecKeyNothingInTemporalsFilesIsReadable(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite", codecKeys(t, keyOne)...)
	s.work()
	ann, bob := s.signUp("ann"), s.signUp("bob")
	s.follow(bob, "ann")
	readers := s.seedFollowers("ann", manyFollowers)
	posted := s.tweet(ann, "a text of ann")
	s.eventually("it is delivered", func() bool { return s.delivery(ann, posted.ID).State == "complete" })
	require.Equal(t, len(readers), s.delivered(posted.ID, readers))
	s.unfollow(bob, "ann")
	deleted := s.tweet(ann, "a text that she deletes")
	s.deleteTweet(ann, deleted.ID)
	s.eventually("it is retracted", func() bool { return s.completed("delete-tweet/" + deleted.ID.String()) })
	for _, audit := range []struct {
		code int
		says string
		args []string
	}{
		{0, "0 missing, 0 extra", []string{"audit", posted.ID.String()}},
		{0, "0 missing, 0 extra", []string{"rebuild-feed", "bob"}},
		{1, "there is no tweet", []string{"audit", uuid.Must(uuid.NewV7()).String()}}, // a failure
	} {
		code, output := s.twtr(audit.args...)
		require.Equal(t, audit.code, code, output)
		require.Contains(t, output, audit.says)
	}
	s.ok("PUT", "/users/me/password", bob, map[string]string{"oldPassword": "correct horse", "newPassword": "a correct battery"}, nil)
	s.ok("DELETE", "/users/me", bob, nil, nil)
	s.eventually("bob is erased", func() bool { return s.completed("delete-user/bob") })

	types := []string{"CreateUser", "Follow", "PostTweet", "DeleteTweet", "AuditDelivery", "RebuildFeed", "ChangePassword", "DeleteUser"}
	var histories map[string][]*history.History
	s.eventually("the workflows are listed", func() bool {
		histories = s.storedHistories()
		for _, name := range types {
			if len(histories[name]) == 0 {
				return false
			}
		}
		return true
	})
	for name, all := range histories {
		for _, h := range all {
			requireEncrypted(t, name, h)
		}
	}

	files, err := filepath.Glob(filepath.Join(filepath.Dir(s.temporalFile), "temporal*"))
	require.NoError(t, err)
	var content []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		content = append(content, text...)
	}
	require.Contains(t, string(content), posted.ID.String(), "what was searched is what the test left")
	for _, text := range []string{"a text of ann", "a text that she deletes", `"username"`, `"content"`, "followers, bucket", "all followers",
		"there is no tweet", "feeds of its author"} {
		require.False(t, bytes.Contains(content, []byte(text)), "the files of Temporal have %q", text)
	}

	// The codec server decrypts.
	addr := freeAddr(t)
	server := start(t, t.TempDir(), "twtr", []string{"TWTR_TEMPORAL_CODEC_KEYS=" + keyTwo + "," + keyOne}, "codec-server", "--codec-addr", addr)
	remote := converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{Endpoint: "http://" + addr})
	input := histories["AuditDelivery"][0].GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()
	s.eventually("the codec server decrypts", func() bool {
		decoded, err := remote.Decode(input)
		return err == nil && bytes.Contains(decoded[0].GetData(), []byte(`"tweetId"`))
	})
	server.stops(t, syscall.SIGTERM)

	// Histories replay with the keys, and say without what is missing.
	file := filepath.Join(t.TempDir(), "histories.json")
	var text []byte
	for _, name := range types {
		for _, h := range histories[name] {
			one, err := protojson.Marshal(h)
			require.NoError(t, err)
			text = append(text, one...)
		}
	}
	require.NoError(t, os.WriteFile(file, text, 0o600))
	code, output := s.twtr("replay", file)
	require.Equal(t, 0, code, output)
	replay := start(t, t.TempDir(), "twtr", nil, "replay", file)
	replay.says(t, `failed: a payload is encrypted with key "`)
	require.Error(t, replay.Wait())
}

func TestEncryptionIsTurnedOnAndKeysAreReplacedWhileWorkflowsRun(t *testing.T) {
	t.Parallel()
	s := newStack(t, "sqlite", codecKeys(t, "plain,"+keyOne+","+keyTwo)...) // which reads everything
	stop := s.work()
	ann, bob := s.signUp("ann"), s.signUp("bob")
	s.follow(bob, "ann")
	s.eventually("the workers have nothing to do", func() bool { return s.completed("follow/bob/ann") })
	stop()
	off, prepared, one := s.withCodecKeys(), s.withCodecKeys(codec.Plain, keyOne), s.withCodecKeys(keyOne)
	added, moved := s.withCodecKeys(keyOne, keyTwo), s.withCodecKeys(keyTwo, keyOne)
	delivers := func(by *stack, posted tweet) {
		t.Helper()
		stop := by.work()
		s.eventually("it is delivered", func() bool { return s.completed("post-tweet/" + posted.ID.String()) })
		stop()
		require.Contains(t, s.feed(bob), posted)
	}
	for _, step := range []struct{ posted, delivered *stack }{
		{off, prepared}, {prepared, off}, {one, prepared}, {prepared, one}, {off, one}, // on
		{one, added}, {added, one}, {moved, added}, {added, moved}, {one, moved}, // another key
		{moved, s.withCodecKeys(codec.Plain, keyTwo)}, // off
	} {
		delivers(step.delivered, step.posted.tweet(ann, "hello"))
	}

	// A worker without the key leaves the workflow to one that has it.
	for _, without := range []*stack{off, s.withCodecKeys(keyTwo)} {
		posted := one.tweet(ann, "hello")
		stop := without.work()
		s.eventually("it says what is missing", func() bool {
			return strings.Contains(without.logs.String(), "which is not in temporal.codec_keys")
		})
		stop()
		delivers(one, posted)
	}
}

func TestTheWebUIShowsWhatIsEncrypted(t *testing.T) {
	t.Parallel()
	program := browser(t)
	api, temporal, args := devArgs(t)
	ui := args[5]
	p := start(t, t.TempDir(), "dev", []string{"TWTR_TEMPORAL_CODEC_KEYS=" + keyOne}, append(args, "--codec-addr", freeAddr(t))...)
	p.says(t, "twtr is running.")
	s := &stack{t: t, url: "http://" + api, temporal: temporal}
	posted := s.tweet(s.signUp("ann"), "a text of ann")
	c, err := client.Dial(client.Options{HostPort: temporal, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	require.NoError(t, err)
	defer c.Close()
	id := "post-tweet/" + posted.ID.String()
	events := c.GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	begun, err := events.Next()
	require.NoError(t, err)
	started := begun.GetWorkflowExecutionStartedEventAttributes()
	require.NotContains(t, started.String(), "a text of ann", "Temporal has it encrypted")

	page := "http://" + ui + "/namespaces/default/workflows/" + url.PathEscape(id) + "/" + started.GetOriginalExecutionRunId() + "/history"
	// It prints the page as it is when nothing more is loading.
	command := exec.CommandContext(t.Context(), program, append(browserFlags(t), "--virtual-time-budget=30000", "--dump-dom", page)...)
	document, err := command.Output()
	require.NoError(t, err)
	require.True(t, bytes.Contains(document, []byte("a text of ann")), "the page has %d bytes", len(document))
}
