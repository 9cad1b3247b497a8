package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// A stored is a message as a stream keeps it.
type stored struct {
	seq     uint64
	subject string
	header  nats.Header
	data    []byte
	time    time.Time
}

// deleted is true for the mark that a bucket keeps of a deleted key.
func (m *stored) deleted() bool {
	return m.header.Get(headerOperation) != "" || m.header.Get("Nats-Marker-Reason") != ""
}

// last returns the last message of a subject, which may have wildcards, or
// ErrNotFound. It sees everything that was acknowledged before.
func (b *Bus) last(ctx context.Context, stream, subject string) (stored, error) {
	list, err := b.lastOf(ctx, stream, []string{subject})
	if err != nil {
		return stored{}, err
	}
	if list[0].seq == 0 {
		return stored{}, ErrNotFound
	}
	return list[0], nil
}

// lastOf returns the last message of each subject; seq is 0 where there is
// none.
func (b *Bus) lastOf(ctx context.Context, stream string, subjects []string) ([]stored, error) {
	return b.get(ctx, stream, len(subjects), func(i int) (string, any) {
		if strings.ContainsAny(subjects[i], "*>") {
			return "", map[string]any{"last_by_subj": subjects[i]}
		}
		return subjects[i], map[string]any{"last_by_subj": subjects[i]}
	})
}

// at returns the message of a sequence, or ErrNotFound.
func (b *Bus) at(ctx context.Context, stream string, seq uint64) (stored, error) {
	list, err := b.get(ctx, stream, 1, func(int) (string, any) { return "", map[string]any{"seq": seq} })
	if err != nil {
		return stored{}, err
	}
	if list[0].seq == 0 {
		return stored{}, ErrNotFound
	}
	return list[0], nil
}

// get asks for n messages at once. What to ask for is a subject, for which the
// server has a short form, or a request.
func (b *Bus) get(ctx context.Context, stream string, n int, what func(int) (subject string, request any)) ([]stored, error) {
	list := make([]stored, n)
	todo := make([]int, n)
	for i := range todo {
		todo[i] = i
	}
	direct := b.options.Replicas == 1
	err := retry(ctx, func() error {
		exchanges := make([]*exchange, len(todo))
		for k, i := range todo {
			subject, request := what(i)
			x := &exchange{subject: "$JS.API.DIRECT.GET." + stream}
			switch {
			case direct && subject != "":
				x.subject += "." + subject
			default:
				body, err := json.Marshal(request)
				if err != nil {
					return fmt.Errorf("ask %s: %w", stream, err)
				}
				x.data = body
				if !direct {
					x.subject = "$JS.API.STREAM.MSG.GET." + stream
				}
			}
			exchanges[k] = x
		}
		b.ask.do(ctx, askTimeout, exchanges)
		var left []int
		var failed error
		for k, i := range todo {
			m, err := exchanges[k].message(direct)
			switch {
			case err == nil:
				list[i] = m
			case transport(err):
				left, failed = append(left, i), err
			default:
				return fmt.Errorf("read %s: %w", stream, err)
			}
		}
		todo = left
		return failed
	})
	return list, err
}

// askTimeout is how long a question may take before its connection is given up.
const askTimeout = 3 * time.Second

// message reads the answer to get: a message, or one of sequence 0.
func (x *exchange) message(direct bool) (stored, error) {
	if x.err != nil {
		return stored{}, x.err
	}
	if !direct {
		return x.leaderMessage()
	}
	h := x.reply.Header
	if status := h.Get("Status"); status != "" {
		if status == "404" {
			return stored{}, nil
		}
		return stored{}, fmt.Errorf("direct get: %s %s", status, h.Get("Description"))
	}
	return directMessage(x.reply)
}

func directMessage(m *nats.Msg) (stored, error) {
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return stored{}, fmt.Errorf("direct get: the reply has no sequence: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return stored{}, fmt.Errorf("direct get: the reply has no time: %w", err)
	}
	return stored{seq: seq, subject: m.Header.Get("Nats-Subject"), header: m.Header, data: m.Data, time: at}, nil
}

func (x *exchange) leaderMessage() (stored, error) {
	var reply struct {
		Error   *refusedError `json:"error"`
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(x.reply.Data, &reply); err != nil {
		return stored{}, fmt.Errorf("get from the leader: %w", err)
	}
	if reply.Error != nil {
		if reply.Error.Code == codeNotFound {
			return stored{}, nil
		}
		return stored{}, reply.Error
	}
	m := stored{seq: reply.Message.Seq, subject: reply.Message.Subject, data: reply.Message.Data, time: reply.Message.Time}
	if len(reply.Message.Header) > 0 {
		header, err := nats.DecodeHeadersMsg(reply.Message.Header)
		if err != nil {
			return stored{}, fmt.Errorf("get from the leader: %w", err)
		}
		m.header = header
	}
	return m, nil
}
