package api

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/twtr-dev/twtr"
	"github.com/twtr-dev/twtr/api/apitest"
	"github.com/twtr-dev/twtr/internal/events"
)

func TestTheAsyncAPIDocumentHasAllEventsAndItsExamplesAreSuch(t *testing.T) {
	asJSON, err := yaml.YAMLToJSON([]byte(AsyncAPI))
	require.NoError(t, err)
	var doc struct {
		Info     struct{ Version string }
		Channels map[string]struct {
			Address  string
			Messages map[string]any
		}
		Components struct {
			Messages map[string]struct {
				Examples []struct {
					Headers map[string]string
					Payload json.RawMessage
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(asJSON, &doc))
	require.Equal(t, twtr.Version, doc.Info.Version)
	promised, err := apitest.NewEvents(AsyncAPI)
	require.NoError(t, err)
	var addresses, want []string
	for _, kind := range twtr.EventTypes {
		want = append(want, events.Subject(kind, "{username}"))
	}
	for _, channel := range doc.Channels {
		addresses = append(addresses, channel.Address)
		for name := range channel.Messages {
			examples := doc.Components.Messages[name].Examples
			require.NotEmpty(t, examples, name)
			for _, example := range examples {
				e, err := events.Parse(example.Payload)
				require.NoError(t, err)
				subject := strings.ReplaceAll(channel.Address, "{username}", e.Key)
				require.Equal(t, subject, events.Subject(e.Type, e.Key))
				headers := map[string][]string{}
				for header, value := range example.Headers {
					headers[header] = []string{value}
				}
				require.NoError(t, promised.Check(subject, headers, example.Payload))
				_, err = e.Decode()
				require.NoError(t, err)

				more := strings.Replace(string(example.Payload), `"data": {`, `"data": {"email": "ann@example.com", `, 1)
				require.NotEqual(t, string(example.Payload), more)
				require.ErrorContains(t, promised.Check(subject, headers, []byte(more)), "additional properties 'email' not allowed")
				require.Error(t, promised.Check(subject, nil, example.Payload), "without headers")
			}
		}
	}
	require.ElementsMatch(t, want, addresses)
	require.ErrorContains(t, promised.Check("twtr.users.erased.ann", nil, []byte("{}")), "has no channel for twtr.users.erased.ann")
}

func TestTheAsyncAPIDocumentIsAsTheSchemaOfAsyncAPISays(t *testing.T) {
	file := os.Getenv("TWTR_TEST_ASYNCAPI_SCHEMA")
	if file == "" {
		t.Skip("TWTR_TEST_ASYNCAPI_SCHEMA is not set to the schema's file: make lint sets it")
	}
	schema, err := jsonschema.NewCompiler().Compile(file)
	require.NoError(t, err)
	asJSON, err := yaml.YAMLToJSON([]byte(AsyncAPI))
	require.NoError(t, err)
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	require.NoError(t, err)
	require.NoError(t, schema.Validate(document))
}
