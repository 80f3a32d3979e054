package codec_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/twtr-dev/twtr/internal/codec"
)

func newCodec(t *testing.T, secrets ...string) *codec.Codec {
	c, err := codec.New(secrets...)
	require.NoError(t, err)
	return c
}

func payload(t *testing.T, v any) *common.Payload {
	p, err := converter.GetDefaultDataConverter().ToPayload(v)
	require.NoError(t, err)
	return p
}

func encoded(t *testing.T, c converter.PayloadCodec, v any) *common.Payload {
	p, err := c.Encode([]*common.Payload{payload(t, v)})
	require.NoError(t, err)
	require.Len(t, p, 1)
	return p[0]
}

// requireDecodes wants the codec to turn the payload into that value.
func requireDecodes(t *testing.T, c converter.PayloadCodec, p *common.Payload, want any) {
	t.Helper()
	before := proto.Clone(p)
	decoded, err := c.Decode([]*common.Payload{p})
	require.NoError(t, err)
	require.True(t, proto.Equal(payload(t, want), decoded[0]), decoded)
	require.True(t, proto.Equal(before, p), "the parameter stays as it was")
}

func TestAnEncryptedPayloadShowsNothingButItsKeysID(t *testing.T) {
	c := newCodec(t, "a secret")
	for _, v := range []any{"hello, world", nil, []byte("hello")} {
		p := encoded(t, c, v)
		require.Equal(t, "binary/encrypted", string(p.GetMetadata()["encoding"]))
		require.Regexp(t, `^[0-9a-f]{16}$`, string(p.GetMetadata()["encryption-key-id"]))
		require.Len(t, p.GetMetadata(), 2)
		require.NotContains(t, p.String(), "hello")
		require.False(t, proto.Equal(p, encoded(t, c, v)), "equal values look different")
		requireDecodes(t, c, p, v)
	}
}

func TestTheFirstKeyEncryptsAndAllDecrypt(t *testing.T) {
	old, both, swapped, fresh := newCodec(t, "old"), newCodec(t, "old", "new"), newCodec(t, "new", "old"), newCodec(t, "new")
	for _, test := range []struct {
		by      *codec.Codec
		decodes []*codec.Codec
		doesNot *codec.Codec
	}{
		{by: both, decodes: []*codec.Codec{old, both, swapped, newCodec(t, codec.Plain, "old")}, doesNot: fresh},
		{by: swapped, decodes: []*codec.Codec{fresh, both, swapped, newCodec(t, codec.Plain, "new")}, doesNot: old},
	} {
		p := encoded(t, test.by, "hello")
		for _, c := range test.decodes {
			requireDecodes(t, c, p, "hello")
		}
		for _, c := range []*codec.Codec{test.doesNot, newCodec(t)} {
			_, err := c.Decode([]*common.Payload{payload(t, 1), p})
			require.EqualError(t, err, `a payload is encrypted with key "`+string(p.GetMetadata()["encryption-key-id"])+`", which is not in temporal.codec_keys`)
		}
	}
}

func TestWhatIsNotEncryptedIsReadAsItIs(t *testing.T) {
	for _, c := range []*codec.Codec{newCodec(t), newCodec(t, "a secret"), newCodec(t, codec.Plain, "a secret")} {
		for _, v := range []any{"hello", nil, []byte("hello")} {
			requireDecodes(t, c, payload(t, v), v)
		}
	}
}

func TestWithoutAFirstKeyNothingIsEncrypted(t *testing.T) {
	for _, c := range []*codec.Codec{newCodec(t), newCodec(t, codec.Plain, "a secret")} {
		require.True(t, proto.Equal(payload(t, "hello"), encoded(t, c, "hello")))
		var o client.Options
		require.NoError(t, c.Install(&o))
		require.Nil(t, o.FailureConverter, "messages of failures stay where they are")
	}
}

func TestAChangedPayloadIsRefused(t *testing.T) {
	c := newCodec(t, "a secret")
	for _, change := range []func(*common.Payload){
		func(p *common.Payload) { p.Data[len(p.Data)/2] ^= 1 },
		func(p *common.Payload) { p.Data[0] ^= 1 },
		func(p *common.Payload) { p.Data = p.Data[:10] },
		func(p *common.Payload) { p.Data = nil },
	} {
		p := encoded(t, c, "hello")
		change(p)
		_, err := c.Decode([]*common.Payload{p})
		require.Error(t, err)
	}
}

func TestAHistoryDecodesInPlace(t *testing.T) {
	c := newCodec(t, "a secret")
	input := func(p *common.Payload) *history.History {
		return &history.History{Events: []*history.HistoryEvent{{Attributes: &history.HistoryEvent_WorkflowExecutionStartedEventAttributes{
			WorkflowExecutionStartedEventAttributes: &history.WorkflowExecutionStartedEventAttributes{
				Input:            &common.Payloads{Payloads: []*common.Payload{p}},
				Memo:             &common.Memo{Fields: map[string]*common.Payload{"note": p}},
				SearchAttributes: &common.SearchAttributes{IndexedFields: map[string]*common.Payload{"TwtrAuthor": payload(t, "ann")}},
			}}}}}
	}
	h := input(encoded(t, c, "hello"))
	require.ErrorContains(t, newCodec(t).DecodeAll(t.Context(), h), "temporal.codec_keys")
	require.NoError(t, c.DecodeAll(t.Context(), h))
	require.True(t, proto.Equal(input(payload(t, "hello")), h))
}

// server is a Temporal front end that is unavailable at first, and keeps the inputs that it gets.
type server struct {
	workflowservice.UnimplementedWorkflowServiceServer
	inputs []*common.Payload
}

func (s *server) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{}, nil
}

func (s *server) StartWorkflowExecution(_ context.Context, r *workflowservice.StartWorkflowExecutionRequest) (*workflowservice.StartWorkflowExecutionResponse, error) {
	if s.inputs = append(s.inputs, r.GetInput().GetPayloads()...); len(s.inputs) < 3 {
		return nil, status.Error(codes.Unavailable, "not yet")
	}
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "1"}, nil
}

func TestARequestThatIsSentAgainIsEncryptedOnce(t *testing.T) {
	c, front := newCodec(t, "a secret"), &server{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(s, front)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	o := client.Options{HostPort: listener.Addr().String(), Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}
	require.NoError(t, c.Install(&o))
	temporal, err := client.NewLazyClient(o)
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	_, err = temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "tweets"}, "PostTweet", "hello")
	require.NoError(t, err)
	require.Len(t, front.inputs, 3)
	for _, p := range front.inputs {
		requireDecodes(t, c, p, "hello")
	}
}

const (
	ui    = "https://temporal.example.com"
	token = "0123456789abcdef0123456789abcdef"
)

// remote calls the handler as the temporal CLI does.
func remote(t *testing.T, c *codec.Codec, token string, headers map[string]string) converter.PayloadCodec {
	server := httptest.NewServer(c.Handler([]string{ui}, token))
	t.Cleanup(server.Close)
	return converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{Endpoint: server.URL, ModifyRequest: func(r *http.Request) error {
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		return nil
	}})
}

func TestTheCodecServerDecodesAndEncodes(t *testing.T) {
	c := newCodec(t, "a secret")
	server := remote(t, c, "", nil)
	requireDecodes(t, server, encoded(t, c, "hello"), "hello")
	requireDecodes(t, c, encoded(t, server, "hello"), "hello")
	requireDecodes(t, server, payload(t, "plain"), "plain")
	_, err := server.Decode([]*common.Payload{encoded(t, newCodec(t, "another"), "hello")})
	require.ErrorContains(t, err, "Bad Request: a payload is encrypted with key ")
}

func TestTheCodecServerRequiresItsToken(t *testing.T) {
	c := newCodec(t, "a secret")
	for _, wrong := range []string{"", token, "Bearer x", "Bearer " + token + "x", "Basic " + token} {
		_, err := remote(t, c, token, map[string]string{"Authorization": wrong}).Decode([]*common.Payload{encoded(t, c, "hello")})
		require.ErrorContains(t, err, "Unauthorized", wrong)
	}
	requireDecodes(t, remote(t, c, token, map[string]string{"Authorization": "Bearer " + token}), encoded(t, c, "hello"), "hello")
}

func TestTheCodecServerRefusesPagesOfOtherOrigins(t *testing.T) {
	c := newCodec(t, "a secret")
	for _, other := range []string{"https://evil.example", "null", "http://temporal.example.com", ui + ".evil.example"} {
		_, err := remote(t, c, "", map[string]string{"Origin": other}).Decode([]*common.Payload{encoded(t, c, "hello")})
		require.ErrorContains(t, err, "Forbidden", other)
	}
	requireDecodes(t, remote(t, c, "", map[string]string{"Origin": ui}), encoded(t, c, "hello"), "hello")

	for origin, allowed := range map[string]string{ui: ui, "https://evil.example": ""} {
		preflight := httptest.NewRequest(http.MethodOptions, "/decode", strings.NewReader(""))
		preflight.Header.Set("Origin", origin)
		preflight.Header.Set("Access-Control-Request-Method", "POST")
		preflight.Header.Set("Access-Control-Request-Headers", "content-type,x-namespace")
		response := httptest.NewRecorder()
		c.Handler([]string{ui}, token).ServeHTTP(response, preflight)
		require.Equal(t, allowed, response.Header().Get("Access-Control-Allow-Origin"))
	}
}
