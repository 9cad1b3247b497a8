package supervisor

import "time"

// patience decides how long to wait before a plugin that has ended is started
// again, and when to give it up.
type patience struct {
	least, most time.Duration // the wait doubles between them
	steady      time.Duration // whoever ran for so long begins anew
	ends        int           // so many within span are too many
	span        time.Duration

	step   int
	recent []time.Time
}

// ended takes note of an end after a run of some length. Where the plugin
// was not to blame, because what it needs was away, its end does not count
// towards giving it up.
func (p *patience) ended(now time.Time, ran time.Duration, blame bool) (wait time.Duration, giveUp bool) {
	if ran >= p.steady {
		p.step = 0
	}
	wait = p.most
	if p.step < 30 && p.least<<p.step < p.most {
		wait = p.least << p.step
		p.step++
	}
	if !blame {
		return wait, false
	}
	kept := p.recent[:0]
	for _, at := range p.recent {
		if now.Sub(at) < p.span {
			kept = append(kept, at)
		}
	}
	p.recent = append(kept, now)
	return wait, len(p.recent) >= p.ends
}

// forget begins anew, because somebody asked for it.
func (p *patience) forget() { p.step, p.recent = 0, nil }
