package gateway

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tributary-bus/tributary/core/internal/config"
)

// rates hold sources to the rate that their configuration allows.
type rates struct {
	mu       sync.Mutex
	limiters map[string]limiter
}

type limiter struct {
	rate config.Rate
	*rate.Limiter
}

// admit takes n events off what the source may send now. Where that is too
// many it returns how long to wait and takes nothing. A request of any size
// that is allowed at all passes at some time: a second's worth or the largest
// request, whichever is more, may come at once.
func (r *rates) admit(source *config.Source, n int, largest int, now time.Time) (wait time.Duration) {
	if source.Rate.PerSecond() == 0 || n == 0 {
		return 0
	}
	limiter := r.of(source, largest)
	reservation := limiter.ReserveN(now, min(n, limiter.Burst()))
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

func (r *rates) of(source *config.Source, largest int) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.limiters[source.ID]
	if !ok || l.rate != source.Rate {
		perSecond := source.Rate.PerSecond()
		l = limiter{source.Rate, rate.NewLimiter(rate.Limit(perSecond), max(int(perSecond), largest))}
		if r.limiters == nil {
			r.limiters = map[string]limiter{}
		}
		r.limiters[source.ID] = l
	}
	return l.Limiter
}
