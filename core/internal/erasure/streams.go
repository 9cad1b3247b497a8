package erasure

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tributary-bus/tributary/core/internal/bus"
	"github.com/tributary-bus/tributary/core/internal/record"
	"github.com/tributary-bus/tributary/core/internal/store"
	"github.com/tributary-bus/tributary/sdk"
	"github.com/tributary-bus/tributary/sdk/condition"
)

// Commits waits until no commit is kept any more that was made before the erasure, so
// that no take-over repeats what one held: an event would come back. It has to come
// before [Events].
func Commits(b *bus.Bus) Eraser {
	return Eraser{Name: "commits", Erase: func(ctx context.Context, targets []Target) ([]Count, error) {
		ctx, cancel := context.WithTimeout(ctx, purgedWithin)
		defer cancel()
		// A partition keeps its last commit, so each makes two: the first may hold
		// what came just before. All of them, since whoever did not know where the
		// profile was has sent to others, which sent it on.
		for range 2 {
			if err := commitAnew(ctx, b); err != nil {
				return nil, err
			}
		}
		for p := range b.Partitions() {
			_, last, err := b.LastCommit(ctx, p)
			if err != nil {
				return nil, err
			}
			err = until(ctx, fmt.Sprintf("the commits of partition %d were not purged yet", p), func() (bool, error) {
				first, err := b.FirstCommit(ctx, p)
				return first >= last, err
			})
			if err != nil {
				return nil, err
			}
		}
		return make([]Count, len(targets)), nil
	}}
}

const (
	// purgedWithin is how long the checkpoint may take that commits are purged with.
	purgedWithin = time.Minute
	lookEvery    = 100 * time.Millisecond
)

// commitAnew has every partition make a commit, and returns when they have.
func commitAnew(ctx context.Context, b *bus.Bus) error {
	nothing := make([]record.Routed, b.Partitions())
	for p := range nothing {
		// No configuration is older, so it changes nothing.
		c := record.Command{Kind: record.KindConfig, Revision: 0, Received: time.Now()}
		nothing[p] = record.Routed{Partition: p, Command: record.AppendCommand(nil, &c)}
	}
	if err := b.PublishCommands(ctx, nothing); err != nil {
		return err
	}
	for p := range nothing {
		sent, err := b.IngestLastOf(ctx, p)
		if err != nil {
			return err
		}
		err = until(ctx, fmt.Sprintf("partition %d is behind", p), func() (bool, error) {
			data, _, err := b.LastCommit(ctx, p)
			if err != nil || data == nil {
				return sent == 0, err
			}
			c, err := record.ParseCommit(data)
			if err != nil {
				return false, fmt.Errorf("last commit of partition %d: %w", p, err)
			}
			return c.To.Seq > sent || c.To.Seq == sent && c.To.Done == record.AllDone, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// until looks again and again until something holds.
func until(ctx context.Context, what string, holds func() (bool, error)) error {
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
	}
}

// Events overwrites the events of the profiles in EVENTS: those about them, and those
// that were sent to them and are about nobody, since they are not valid. The query
// store cannot find the latter by a profile, so they are deleted from it first.
func Events(b *bus.Bus, s Store) Eraser {
	return Eraser{Name: "events", Erase: func(ctx context.Context, targets []Target) ([]Count, error) {
		of := owners(targets)
		partitions := map[int]bool{}
		for id := range of {
			partitions[b.Partition(id)] = true
		}
		counts := make([]Count, len(targets))
		for _, p := range slices.Sorted(maps.Keys(partitions)) {
			var found []uint64
			invalid := map[string][]string{}
			err := b.EventsOf(ctx, p, func(e bus.StoredEvent) error {
				i, valid := of[profileOf(e.Data)]
				if !valid {
					var sent bool
					if i, sent = of[senderOf(e.Data)]; !sent {
						return nil
					}
					source := textAt(e.Data, "event", "source")
					invalid[source] = append(invalid[source], textAt(e.Data, "event", "id"))
				}
				found = append(found, e.Seq)
				counts[i].Removed++
				return nil
			})
			if err == nil {
				err = deleteInvalid(ctx, s, invalid)
			}
			if err != nil || len(found) == 0 {
				if err != nil {
					return nil, err
				}
				continue
			}
			if err := b.EraseEvents(ctx, found); err != nil {
				return nil, err
			}
			err = b.EventsOf(ctx, p, func(e bus.StoredEvent) error {
				i, ok := of[profileOf(e.Data)]
				if !ok {
					i, ok = of[senderOf(e.Data)]
				}
				if ok {
					counts[i].Remaining++
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
		return counts, nil
	}}
}

// deleteInvalid deletes events that are about nobody, by their sources and ids.
func deleteInvalid(ctx context.Context, s Store, invalid map[string][]string) error {
	for source, all := range invalid {
		for ids := range slices.Chunk(all, idsAtOnce) {
			text := "event.valid == false && event.source == " + strconv.Quote(source) + " && event.id in " + listed(ids)
			filter, err := condition.CompileCondition(text, condition.EventScope)
			if err != nil {
				return fmt.Errorf("find events that are not valid: %w", err)
			}
			if _, err := s.Delete(ctx, store.Events, filter); err != nil {
				return err
			}
		}
	}
	return nil
}

// owners tells by id which target has it.
func owners(targets []Target) map[string]int {
	of := map[string]int{}
	for i, t := range targets {
		for _, id := range t.IDs {
			of[id] = i
		}
	}
	return of
}

// profileOf is whom a message of EVENTS is about, an event or what is told beside events
// (record.TypeChange); empty where it is about nobody, or cannot be read. It reads no further than to
// there.
func profileOf(data []byte) string {
	for _, beside := range [...]string{"change", "session", "left"} {
		if bytes.HasPrefix(data, []byte(`{"`+beside+`":`)) {
			return textAt(data, beside, "profile")
		}
	}
	return textAt(data, "event", "profile")
}

// senderOf is whom a message of EVENTS was sent to that is about nobody, since its event
// is not valid; empty for any other.
func senderOf(data []byte) string {
	if !bytes.Contains(data, []byte(`"sender":"`)) {
		return ""
	}
	return textAt(data, "sender")
}

// textAt is a text in an object of JSON; empty where there is none.
func textAt(data []byte, path ...string) string {
	d := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true))
	for _, member := range path {
		if !enter(d, member) {
			return ""
		}
	}
	token, err := d.ReadToken()
	if err != nil || token.Kind() != '"' {
		return ""
	}
	return token.String()
}

// enter goes to the value of a member of the object that comes next.
func enter(d *jsontext.Decoder, member string) bool {
	if token, err := d.ReadToken(); err != nil || token.Kind() != '{' {
		return false
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return false
		}
		if name.String() == member {
			return true
		}
		if err := d.SkipValue(); err != nil {
			return false
		}
	}
	return false
}

// DeadLetters overwrites the dead letters that name one of the profiles, in what
// failed or in what is said about it.
func DeadLetters(b *bus.Bus) Eraser {
	return Eraser{Name: "dead letters", Erase: func(ctx context.Context, targets []Target) ([]Count, error) {
		counts := make([]Count, len(targets))
		found, err := lettersOf(ctx, b, targets, func(i int) { counts[i].Removed++ })
		if err != nil || len(found) == 0 {
			return counts, err
		}
		if err := b.EraseDeadLetters(ctx, found); err != nil {
			return nil, err
		}
		_, err = lettersOf(ctx, b, targets, func(i int) { counts[i].Remaining++ })
		return counts, err
	}}
}

// lettersAtOnce bounds how many dead letters are held in memory.
const lettersAtOnce = 200

func lettersOf(ctx context.Context, b *bus.Bus, targets []Target, found func(target int)) (sequences []uint64, err error) {
	for after := uint64(0); ; {
		letters, err := b.DeadLetters(ctx, "", after, lettersAtOnce)
		if err != nil {
			return nil, err
		}
		for i := range letters {
			l := &letters[i]
			after = l.Seq
			if t := named(targets, l); t >= 0 {
				sequences = append(sequences, l.Seq)
				found(t)
			}
		}
		if len(letters) < lettersAtOnce {
			return sequences, nil
		}
	}
}

// named is the target that a dead letter names, -1 where it names none.
func named(targets []Target, l *bus.DeadLetter) int {
	about := append([]byte(l.Reason+"\n"), sdk.AppendValue(nil, l.Details)...)
	for i, t := range targets {
		for _, id := range t.IDs {
			if bytes.Contains(l.Payload, []byte(id)) || bytes.Contains(about, []byte(id)) {
				return i
			}
		}
	}
	return -1
}
