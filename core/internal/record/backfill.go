package record

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/tributary-bus/tributary/sdk"
)

// A Backfill is the body of KindBackfill: what was found among the stored events of
// a profile for windows that are kept since a revision of the configuration. A
// search goes in chunks, which a profile gets in their order.
type Backfill struct {
	Profile string // the id that the events carry; it may have been merged since
	Fill
	// Windows hold what the chunk has of the profile, by the name of the aggregate.
	Windows map[string]*Window
}

// A Fill is a place in the work of back-filling.
type Fill struct {
	Since uint64 // the revision from which on the windows are kept
	Chunk uint64 // counts from 1
}

// Before tells whether a place comes before another one.
func (f Fill) Before(other Fill) bool {
	return f.Since < other.Since || f.Since == other.Since && f.Chunk < other.Chunk
}

// AppendBackfill appends the body.
func AppendBackfill(dst []byte, b *Backfill) []byte {
	dst = sdk.AppendString(append(dst, `{"profile":`...), b.Profile)
	dst = strconv.AppendUint(append(dst, `,"since":`...), b.Since, 10)
	dst = strconv.AppendUint(append(dst, `,"chunk":`...), b.Chunk, 10)
	dst = append(dst, `,"windows":{`...)
	for i, name := range sortedNames(b.Windows) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(sdk.AppendString(dst, name), ':')
		dst = b.Windows[name].appendJSON(dst)
	}
	return append(dst, "}}"...)
}

// ParseBackfill decodes the body.
func ParseBackfill(text []byte) (*Backfill, error) {
	var raw struct {
		Profile string             `json:"profile"`
		Since   uint64             `json:"since"`
		Chunk   uint64             `json:"chunk"`
		Windows map[string]*Window `json:"windows"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("%w: backfill: %w", ErrMalformed, err)
	}
	for name, w := range raw.Windows {
		if w == nil {
			return nil, fmt.Errorf("%w: backfill: window %s is null", ErrMalformed, name)
		}
	}
	return &Backfill{Profile: raw.Profile, Fill: Fill{Since: raw.Since, Chunk: raw.Chunk}, Windows: raw.Windows}, nil
}

func appendFilled(dst []byte, filled map[string]Fill) []byte {
	if len(filled) == 0 {
		return dst
	}
	dst = append(dst, `,"filled":{`...)
	for i, id := range sortedNames(filled) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(sdk.AppendString(dst, id), `:[`...)
		dst = strconv.AppendUint(dst, filled[id].Since, 10)
		dst = strconv.AppendUint(append(dst, ','), filled[id].Chunk, 10)
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

func parseFilled(text []byte) (map[string]Fill, error) {
	var raw map[string][2]uint64
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	filled := make(map[string]Fill, len(raw))
	for id, pair := range raw {
		filled[id] = Fill{Since: pair[0], Chunk: pair[1]}
	}
	return filled, nil
}
