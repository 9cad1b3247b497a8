package bus

import (
	"slices"
	"strings"
	"testing"
)

func TestServerURLs(t *testing.T) {
	got, err := serverURLs([]string{"core:secret@nats.example:4222", "tls://a:p@h1:4222, nats://b:q@h2:4222", "h3"})
	want := []string{"nats://core:secret@nats.example:4222", "tls://a:p@h1:4222", "nats://b:q@h2:4222", "nats://h3"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if got, want := withoutUsers(got), []string{"nats://nats.example:4222", "tls://h1:4222", "nats://h2:4222", "nats://h3"}; !slices.Equal(got, want) {
		t.Errorf("without users: %q", got)
	}
	for _, text := range []string{"nats://a:secret@", "nats://a:secret@h:x y", "", "nats://h,"} {
		if got, err := serverURLs([]string{"nats://h", text}); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "the second of them") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
