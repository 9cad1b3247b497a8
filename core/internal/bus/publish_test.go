package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
)

func TestAcknowledgements(t *testing.T) {
	for _, test := range []struct {
		data string
		seq  uint64
		code int
	}{
		{`{"stream":"INGEST","seq":17}`, 17, 0},
		{`{"stream":"INGEST", "seq":17}`, 17, 0},
		{`{"stream":"INGEST","domain":"d","seq":18,"duplicate":true}`, 18, 0},
		{`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 4"},"stream":"INGEST","seq":0}`, 0, 10071},
	} {
		x := exchange{reply: &nats.Msg{Data: []byte(test.data)}}
		seq, err := x.acknowledged()
		if seq != test.seq || (err != nil) != (test.code != 0) || test.code != 0 && !refusedWith(err, test.code) {
			t.Errorf("%s: %d, %v", test.data, seq, err)
		}
	}
	x := exchange{reply: &nats.Msg{Data: []byte("nonsense")}}
	if _, err := x.acknowledged(); err == nil {
		t.Error("nonsense acknowledges")
	}
	x = exchange{err: ErrNoAck}
	if _, err := x.acknowledged(); !errors.Is(err, ErrNoAck) {
		t.Errorf("no answer: %v", err)
	}
}

func FuzzQuickAck(f *testing.F) {
	for _, seed := range []string{`{"stream":"INGEST","seq":17}`, `{"stream":"","seq":}`, `{"stream":"a\"","seq":1}`, `{"stream":"x","seq":1,"domain":"d"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		seq, ok := quickAck(data)
		if !ok {
			return
		}
		var ack struct {
			Seq uint64 `json:"seq"`
		}
		if err := json.NewDecoder(bytes.NewReader(data)).Decode(&ack); err == nil && ack.Seq != seq {
			t.Fatalf("%q: %d, want %d", data, seq, ack.Seq)
		}
	})
}
