package apitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Events is what an AsyncAPI document promises of events.
type Events struct {
	messages []message
}

// message is one kind of message, on the subjects of its channel.
type message struct {
	subject          *regexp.Regexp
	headers, payload *jsonschema.Schema
}

// document is what NewEvents reads of an AsyncAPI document.
type document struct {
	Channels map[string]struct {
		Address  string
		Messages map[string]any // by the names that they have among the components
	}
}

const asyncAPI = "asyncapi.json"

// NewEvents makes a contract of a document in YAML.
func NewEvents(text string) (*Events, error) {
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	var doc document
	if err := json.Unmarshal(asJSON, &doc); err != nil {
		return nil, err
	}
	resource, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(asyncAPI, resource); err != nil {
		return nil, err
	}
	all := &Events{}
	for name, channel := range doc.Channels {
		for key := range channel.Messages {
			at := asyncAPI + "#/components/messages/" + key
			headers, headersErr := compiler.Compile(at + "/headers")
			payload, payloadErr := compiler.Compile(at + "/payload")
			if err := errors.Join(headersErr, payloadErr); err != nil {
				return nil, fmt.Errorf("channel %s: %w", name, err)
			}
			pattern := regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(channel.Address), `[^.]+`)
			all.messages = append(all.messages, message{regexp.MustCompile("^" + pattern + "$"), headers, payload})
		}
	}
	return all, nil
}

// Check returns an error unless the document has such a message on that subject, with these headers and exactly these fields.
func (e *Events) Check(subject string, headers map[string][]string, payload []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return err
	}
	all := map[string]any{}
	for name, values := range headers {
		all[name] = values[0]
	}
	for _, m := range e.messages {
		if m.subject.MatchString(subject) {
			if err := errors.Join(m.headers.Validate(all), m.payload.Validate(value)); err != nil {
				return fmt.Errorf("%s: %s is not as the AsyncAPI document says: %w", subject, payload, err)
			}
			return nil
		}
	}
	return fmt.Errorf("the AsyncAPI document has no channel for %s", subject)
}
