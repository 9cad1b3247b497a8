package main

import (
	"context"

	"github.com/tributary-bus/tributary/core/internal/config"
	"github.com/tributary-bus/tributary/core/internal/importer"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/sdk"
)

// submit hands an import's events to the gateway, as many at once as a request
// may hold. Where it fails after the first part, the events of the parts before
// are known by their ids when they come again.
func (s *server) submit(ctx context.Context, source *config.Source, events []record.Event) ([]importer.Submission, error) {
	results := make([]importer.Submission, 0, len(events))
	for len(events) > 0 {
		part := events[:min(len(events), s.config.Limits.Events)]
		submitted, err := s.gateway.Submit(ctx, source, appendNative(nil, part))
		if err != nil {
			return nil, err
		}
		for _, r := range submitted {
			results = append(results, importer.Submission{Status: r.Status, Reason: r.Reason})
		}
		events = events[len(part):]
	}
	return results, nil
}

// appendNative appends events as an array in the form in which clients send
// them.
func appendNative(dst []byte, events []record.Event) []byte {
	dst = append(dst, '[')
	for i := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendNativeEvent(dst, &events[i])
	}
	return append(dst, ']')
}

func appendNativeEvent(dst []byte, e *record.Event) []byte {
	dst = append(dst, `{"type":`...)
	dst = sdk.AppendString(dst, e.Type)
	for _, field := range [...]struct{ name, text string }{
		{`,"id":`, e.ID}, {`,"session":`, e.Session}, {`,"profile":`, e.Profile},
	} {
		if field.text != "" {
			dst = append(dst, field.name...)
			dst = sdk.AppendString(dst, field.text)
		}
	}
	if !e.Time.IsZero() {
		dst = append(dst, `,"time":`...)
		dst = sdk.AppendTime(dst, e.Time)
	}
	for _, field := range [...]struct {
		name   string
		object []byte
	}{{`,"properties":`, e.Properties}, {`,"traits":`, e.Traits}, {`,"context":`, e.Context}} {
		if len(field.object) > 0 {
			dst = append(dst, field.name...)
			dst = append(dst, field.object...)
		}
	}
	if len(e.IDs) > 0 {
		dst = append(dst, `,"ids":{`...)
		for i, id := range e.IDs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = sdk.AppendString(dst, id.Kind)
			dst = append(dst, ':')
			dst = sdk.AppendString(dst, id.Value)
		}
		dst = append(dst, '}')
	}
	if len(e.Tags) > 0 {
		dst = append(dst, `,"tags":`...)
		dst = sdk.AppendValue(dst, e.Tags)
	}
	return append(dst, '}')
}
