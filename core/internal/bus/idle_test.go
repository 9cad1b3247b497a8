package bus

import "testing"

func TestParseStat(t *testing.T) {
	idle, total, ok := parseStat([]byte("cpu  10 1 5 70 4 3 2 5 9 9\ncpu0 1 1 1 1\n"))
	if !ok || idle != 74 || total != 100 {
		t.Errorf("idle %d of %d, %v; want 74 of 100", idle, total, ok)
	}
	for _, text := range []string{"", "cpu", "cpu 1 2 3", "intr 1 2 3 4 5 6", "cpu 1 2 3 x 5 6"} {
		if _, _, ok := parseStat([]byte(text)); ok {
			t.Errorf("%q was read", text)
		}
	}
	var s idleShare
	if _, ok := s.look(); ok {
		t.Error("the first look told a share")
	}
}
