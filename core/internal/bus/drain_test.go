package bus

import (
	"testing"
	"time"
)

func TestDrainIsTheRateOfProcessingAtItsBest(t *testing.T) {
	var d drain
	if d.rate() != drainAtFirst {
		t.Errorf("before it is measured: %d", d.rate())
	}
	d.saw(0, time.Second, false) // nothing to do says nothing
	d.saw(-5, time.Second, true)
	d.saw(1000, 0, true)
	if d.rate() != drainAtFirst {
		t.Errorf("after nothing was measured: %d", d.rate())
	}
	for range 100 {
		d.saw(40<<20, 2*time.Second, false)
	}
	if rate := d.rate(); rate < 19<<20 || rate > 20<<20 {
		t.Errorf("after 100 times 20 MiB/s: %d", rate)
	}
	before := d.rate()
	d.saw(1<<20, time.Second, false)
	if d.rate() != before {
		t.Errorf("while it gave way: %d", d.rate())
	}
	for range 300 {
		d.saw(10<<20, time.Second, true)
	}
	if rate := d.rate(); rate < 10<<20 || rate > 11<<20 {
		t.Errorf("after five minutes at 10 MiB/s: %d", rate)
	}
	if soon := d.rate() * uint64(acceptFor/time.Second); !d.allows(soon-1) || d.allows(soon+1) {
		t.Errorf("it does not allow just what is processed within %s", acceptFor)
	}
}
