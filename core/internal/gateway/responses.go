package gateway

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/sdk"
)

// responses are what flows answered for an event, or for several: the value of
// core/result by the flow's id. Where none answered, there are none, which is
// not nil.
type responses []response

type response struct {
	flow  string
	value jsontext.Value
}

// parseResponses reads the flow engine's answer, {"response":{"<flow id>":value,…}}.
func parseResponses(text []byte) (responses, error) {
	all := responses{}
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	err := members(dec, func(name string) error {
		if name != "response" {
			return dec.SkipValue()
		}
		return members(dec, func(flow string) error {
			v, err := dec.ReadValue()
			if err != nil {
				return err
			}
			v = v.Clone()
			err = v.Compact() // since it may become part of a line
			all = append(all, response{flow, v})
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("what flows answered: %w", err)
	}
	return all, nil
}

// members reads an object; member reads the value of each of its names.
func members(dec *jsontext.Decoder, member func(name string) error) error {
	token, err := dec.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != '{' {
		return errors.New("want an object")
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if err := member(name.String()); err != nil {
			return err
		}
	}
	_, err = dec.ReadToken()
	return err
}

// allResponses are the responses of all events, in their order; of a flow that answered
// for several the last one counts.
func allResponses(events []event) responses {
	var all responses
	place := map[string]int{}
	for i := range events {
		for _, r := range events[i].response {
			if at, again := place[r.flow]; again {
				all[at] = r
				continue
			}
			place[r.flow] = len(all)
			all = append(all, r)
		}
	}
	return all
}

func (all responses) appendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	for i, r := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(sdk.AppendString(dst, r.flow), ':')
		dst = append(dst, r.value...)
	}
	return append(dst, '}')
}

// tracardiResponse is what Tracardi's clients look for: one object that all flows
// fill, whatever their ids. The objects that they answered are merged, level by
// level, and the last one wins; any other value stands under its flow's id.
func tracardiResponse(events []event) map[string]any {
	into := map[string]any{}
	for i := range events {
		for _, r := range events[i].response {
			v, err := sdk.ParseValue(r.value)
			if err != nil {
				continue // the decoder has checked it
			}
			if object, ok := v.(map[string]any); ok {
				mergeInto(into, object)
			} else {
				into[r.flow] = v
			}
		}
	}
	return into
}

func mergeInto(into, from map[string]any) {
	for name, v := range from {
		below, ok := v.(map[string]any)
		if old, was := into[name].(map[string]any); ok && was {
			mergeInto(old, below)
			continue
		}
		into[name] = v
	}
}
