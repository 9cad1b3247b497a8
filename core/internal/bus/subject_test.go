package bus

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTokensAreReversible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		token := encodeToken(s)
		if token == "" || strings.ContainsAny(token, ".*> \t\r\n") || token == sharedType {
			t.Fatalf("%q is encoded as %q", s, token)
		}
		back, err := decodeToken(token)
		if err != nil || back != s {
			t.Fatalf("%q is encoded as %q and decoded as %q, %v", s, token, back, err)
		}
	})
}

func TestTokensThatAreFixed(t *testing.T) {
	for text, token := range map[string]string{
		"": "=", "_": "=5F", "__": "__", "order-completed": "order-completed", "a.b": "a=2Eb", "=": "=3D", "é": "=C3=A9",
		"Order Completed": "Order=20Completed",
	} {
		if got := encodeToken(text); got != token {
			t.Errorf("%q is encoded as %q, want %q: what is on disk would not be found", text, got, token)
		}
	}
}

func TestTokensThatAreNone(t *testing.T) {
	for _, token := range []string{"", "_", "=2", "=2e", "=41", "a.b", "a b", "==", "=G0", "é", "a="} {
		if s, err := decodeToken(token); err == nil {
			t.Errorf("%q is decoded as %q", token, s)
		}
	}
}

func FuzzDecodeToken(f *testing.F) {
	for _, seed := range []string{"", "=", "_", "=5F", "a=2Eb", "=C3=A9", "=2e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		s, err := decodeToken(token)
		if err == nil && encodeToken(s) != token {
			t.Fatalf("%q is decoded as %q, which is encoded as %q", token, s, encodeToken(s))
		}
	})
}

func TestSubjectsNameWhatTheyWereMadeOf(t *testing.T) {
	for _, profile := range []string{"a", "x.y z", strings.Repeat("é", 256)} {
		if got, err := profileOf(subjectDocument(7, profile)); err != nil || got != profile {
			t.Errorf("profile %q comes back as %q, %v", profile, got, err)
		}
	}
	kind, id, err := resourceOf(subjectResource("event-type", "a.b"))
	if kind != "event-type" || id != "a.b" || err != nil {
		t.Errorf("resource comes back as %q %q, %v", kind, id, err)
	}
	for _, bad := range []string{"event.1.x", prefixProfiles + "7", prefixProfiles + "7.=2"} {
		if got, err := profileOf(bad); err == nil {
			t.Errorf("%q names the profile %q", bad, got)
		}
	}
}
