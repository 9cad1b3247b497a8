package gateway

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"

	"github.com/tributary-bus/tributary/sdk"
)

// pixel is GET /pixel.gif: an event of the query, and an image for whoever shows
// one, in a mail or on a page without scripts. The fields of a native event, with
// dots or brackets for what is within them, are those of the event; all other
// names are properties. The image comes whatever became of the event; the status
// tells.
type pixel struct {
	keyed
	unwaited
}

func init() {
	handle(http.MethodGet, "/pixel.gif", ingest(pixel{}))
	handle(http.MethodHead, "/pixel.gif", func(_ *Gateway, w http.ResponseWriter, _ *http.Request) { writeGIF(w, http.StatusOK) })
}

// pixelType is what an event is that names no type.
const pixelType = "pixel-view"

var pixelFields = []string{"id", "type", "time", "session", "profile", "ids", "properties", "traits", "context", "tags", "writeKey"}

func (pixel) parse(b *batch, r *request, rules *rules, limits *Limits) *refusal {
	fields := map[string]any{}
	properties := map[string]any{}
	for name, value := range nested(r.query, limits.Nesting-2) {
		if slices.Contains(pixelFields, name) {
			fields[name] = value
		} else {
			properties[name] = value
		}
	}
	if named, ok := fields["properties"].(map[string]any); ok {
		mergeInto(properties, named)
		delete(fields, "properties")
	}
	if len(properties) > 0 && fields["properties"] == nil {
		fields["properties"] = properties
	}
	if fields["type"] == nil {
		fields["type"] = pixelType
	}
	if tag, ok := fields["tags"].(string); ok {
		fields["tags"] = []any{tag}
	}
	return b.single(sdk.AppendValue(nil, fields), limits, func(e *event, text []byte) (int, error) {
		e.orNobody = true
		return b.native(e, rules, text)
	})
}

func (pixel) reply(g *Gateway, w http.ResponseWriter, r *request, b *batch, _ replyForm) {
	g.reportInvalid(r.Pattern, b)
	status := http.StatusOK
	switch {
	case refusedForNow(b.events):
		status = http.StatusServiceUnavailable
	case count(b.events, invalid) > 0:
		status = http.StatusBadRequest
	}
	writeGIF(w, status)
}

// refused shows the image all the same.
func (pixel) refused(_ *Gateway, w http.ResponseWriter, _ *request, refused *refusal) {
	writeGIF(w, refused.status)
}

var gif = func() []byte {
	image, err := base64.StdEncoding.DecodeString("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
	if err != nil {
		panic(err)
	}
	return image
}()

func writeGIF(w http.ResponseWriter, status int) {
	h := w.Header()
	h.Set("Content-Type", "image/gif")
	h.Set("Content-Length", strconv.Itoa(len(gif)))
	h.Set("Cache-Control", "no-store, no-cache, must-revalidate, private")
	w.WriteHeader(status)
	_, _ = w.Write(gif)
}
