// Package codec encrypts the payloads of Temporal's workflows, so that Temporal, its database and its backups hold them encrypted:
// inputs, results, updates, heartbeats, memos, summaries, and the messages and stack traces of failures.
package codec

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/crypto/chacha20poly1305"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/twtr-dev/twtr/internal/seal"
)

const (
	// Encoding is the encoding of an encrypted payload, in its metadata.
	Encoding = "binary/encrypted"
	// keyID is the metadata that names the key.
	keyID = "encryption-key-id"
	// Plain in place of the first key encrypts nothing: the other keys decrypt.
	Plain = "plain"
)

// Codec is a [converter.PayloadCodec] with XChaCha20-Poly1305. Its nonces are long enough to be random for any number of payloads.
//
// A payload is not bound to its workflow: workflows pass payloads on to others, and a codec server is not told whose they are.
type Codec struct {
	keys    map[string]cipher.AEAD // by ID
	current string                 // the ID of the key that encrypts; "" for none
}

// New makes a [Codec] from secrets: the first encrypts, and all decrypt. Without any it encrypts nothing.
func New(secrets ...string) (*Codec, error) {
	c := &Codec{keys: map[string]cipher.AEAD{}}
	for i, secret := range secrets {
		if i == 0 && secret == Plain {
			continue
		}
		aead, err := chacha20poly1305.NewX(seal.Key(secret, "payload"))
		if err != nil {
			return nil, err
		}
		id := hex.EncodeToString(seal.Key(secret, "payload key ID")[:8])
		c.keys[id] = aead
		if i == 0 {
			c.current = id
		}
	}
	return c, nil
}

// Encode implements [converter.PayloadCodec].
func (c *Codec) Encode(payloads []*common.Payload) ([]*common.Payload, error) {
	if c.current == "" {
		return payloads, nil
	}
	aead := c.keys[c.current]
	encoded := make([]*common.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, err
		}
		nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
		_, _ = rand.Read(nonce) // never fails
		encoded[i] = &common.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(Encoding), keyID: []byte(c.current)},
			Data:     aead.Seal(nonce, nonce, plain, nil),
		}
	}
	return encoded, nil
}

// Decode implements [converter.PayloadCodec]. It leaves payloads as they are that are not encrypted.
func (c *Codec) Decode(payloads []*common.Payload) ([]*common.Payload, error) {
	decoded := slices.Clone(payloads)
	for i, p := range payloads {
		if string(p.GetMetadata()[converter.MetadataEncoding]) != Encoding {
			continue
		}
		id := string(p.GetMetadata()[keyID])
		aead, ok := c.keys[id]
		if !ok {
			return nil, &decodeError{fmt.Sprintf("a payload is encrypted with key %q, which is not in temporal.codec_keys", id)}
		}
		n := min(aead.NonceSize(), len(p.GetData()))
		if n < aead.NonceSize() {
			return nil, &decodeError{"an encrypted payload is too short"}
		}
		plain, err := aead.Open(nil, p.GetData()[:n], p.GetData()[n:], nil)
		if err != nil {
			return nil, &decodeError{fmt.Sprintf("a payload that is encrypted with key %q was changed", id)}
		}
		decoded[i] = &common.Payload{}
		if err := proto.Unmarshal(plain, decoded[i]); err != nil {
			return nil, &decodeError{"an encrypted payload holds no payload"}
		}
	}
	return decoded, nil
}

// decodeError says why a payload does not decode.
type decodeError struct{ message string }

func (e *decodeError) Error() string { return e.message }

// DecodeAll decodes all payloads of a message in place.
func (c *Codec) DecodeAll(ctx context.Context, m proto.Message) error {
	return proxy.VisitPayloads(ctx, m, *visit(c.Decode))
}

func visit(code func([]*common.Payload) ([]*common.Payload, error)) *proxy.VisitPayloadsOptions {
	return &proxy.VisitPayloadsOptions{
		Visitor:              func(_ *proxy.VisitPayloadsContext, p []*common.Payload) ([]*common.Payload, error) { return code(p) },
		SkipSearchAttributes: true, // the server indexes them
	}
}

// Install makes a client with these options encrypt and decrypt all payloads.
//
// It works on the messages between client and server, not as a data converter. So it covers messages that the SDK leaves to its
// caller, such as descriptions of workflows. And a worker that cannot decrypt a task does not get the task, which then times out and
// goes to another worker; a data converter's error would be an error in the workflow and fail it. For that reason it is installed
// without keys, too.
func (c *Codec) Install(o *client.Options) error {
	options := proxy.PayloadVisitorInterceptorOptions{Inbound: visit(c.Decode)}
	if c.current != "" {
		options.Outbound = visit(c.Encode)
		// It moves messages and stack traces into payloads.
		o.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{EncodeCommonAttributes: true})
	}
	code, err := proxy.NewPayloadVisitorInterceptor(options)
	if err != nil {
		return err
	}
	o.ConnectionOptions.DialOptions = append(slices.Clip(o.ConnectionOptions.DialOptions), grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if m, ok := req.(proto.Message); ok && c.current != "" {
				req = proto.Clone(m) // the SDK sends a request again, or reads its payloads later
			}
			err := code(ctx, method, req, reply, cc, invoke, opts...)
			if undecodable, ok := errors.AsType[*decodeError](err); ok {
				return status.Error(codes.FailedPrecondition, undecodable.Error()) // the SDK retries an error without a code
			}
			return err
		}))
	return nil
}
