package wire

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendJSON appends the call. A raw field that is empty is left out.
func (c *Call) AppendJSON(dst []byte) []byte {
	dst = appendText(append(dst, `{"id":`...), c.ID)
	dst = strconv.AppendInt(append(dst, `,"attempt":`...), int64(c.Attempt), 10)
	dst = strconv.AppendInt(append(dst, `,"timeout":`...), int64(c.Timeout/time.Millisecond), 10)
	dst = appendText(append(dst, `,"flow":`...), c.Flow)
	dst = appendText(append(dst, `,"node":`...), c.Node)
	dst = appendText(append(dst, `,"run":`...), c.Run)
	dst = appendRaw(dst, `,"config":`, c.Config)
	dst = appendRaw(dst, `,"payload":`, c.Payload)
	dst = appendRaw(dst, `,"event":`, c.Event)
	dst = appendRaw(dst, `,"profile":`, c.Profile)
	dst = appendRaw(dst, `,"session":`, c.Session)
	return append(dst, '}')
}

// AppendJSON appends the reply. What is empty is left out.
func (r *Reply) AppendJSON(dst []byte) []byte {
	dst = appendText(append(dst, `{"id":`...), r.ID)
	if r.Error != nil {
		dst = appendText(append(dst, `,"error":{"message":`...), r.Error.Message)
		if r.Error.Temporary {
			dst = append(dst, `,"temporary":true`...)
		}
		return append(dst, '}', '}')
	}
	dst = appendText(append(dst, `,"port":`...), r.Port)
	dst = appendRaw(dst, `,"payload":`, r.Payload)
	for i := range r.Patches {
		dst = append(dst, opening(i, `,"patches":[`)...)
		dst = r.Patches[i].AppendJSON(dst)
	}
	if len(r.Patches) > 0 {
		dst = append(dst, ']')
	}
	for i := range r.Events {
		dst = append(dst, opening(i, `,"events":[`)...)
		dst = r.Events[i].AppendJSON(dst)
	}
	if len(r.Events) > 0 {
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// AppendJSON appends the patch.
func (p *Patch) AppendJSON(dst []byte) []byte {
	dst = appendText(append(dst, `{"op":`...), string(p.Op))
	dst = appendText(append(dst, `,"path":`...), p.Path)
	return append(appendRaw(dst, `,"value":`, p.Value), '}')
}

// AppendJSON appends the event.
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = appendText(append(dst, `{"type":`...), e.Type)
	dst = appendRaw(dst, `,"properties":`, e.Properties)
	dst = appendRaw(dst, `,"traits":`, e.Traits)
	return append(appendRaw(dst, `,"context":`, e.Context), '}')
}

func opening(i int, first string) string {
	if i == 0 {
		return first
	}
	return ","
}

// appendText appends s as a JSON string; invalid UTF-8 becomes U+FFFD.
func appendText(dst []byte, s string) []byte {
	// The error says only that bytes were replaced.
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

func appendRaw(dst []byte, name string, raw jsontext.Value) []byte {
	if len(raw) == 0 {
		return dst
	}
	return append(append(dst, name...), raw...)
}
