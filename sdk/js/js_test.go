package js

import "testing"

// maxSize bounds what every page of a site loads, in bytes, uncompressed.
const maxSize = 8 << 10

func TestScriptIsSmall(t *testing.T) {
	if len(Source) == 0 || len(Source) >= maxSize {
		t.Errorf("tributary.js has %d bytes, want less than %d", len(Source), maxSize)
	}
}
