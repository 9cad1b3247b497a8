package enrich

import "sync"

// A cache keeps what was asked for lately, at most a number of entries. It has
// two generations: what is found in the older moves to the younger, and when that
// is half the number it becomes the older, whose rest is let go. It is safe for
// concurrent use.
type cache[K comparable, V any] struct {
	mu         sync.Mutex
	half       int
	young, old map[K]V
}

func newCache[K comparable, V any](entries int) *cache[K, V] {
	return &cache[K, V]{half: entries / 2, young: map[K]V{}, old: map[K]V{}}
}

func (c *cache[K, V]) get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.young[key]
	if ok {
		return v, true
	}
	if v, ok = c.old[key]; ok {
		delete(c.old, key)
		c.enter(key, v)
	}
	return v, ok
}

func (c *cache[K, V]) put(key K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.enter(key, v)
}

func (c *cache[K, V]) enter(key K, v V) {
	if len(c.young) >= c.half {
		c.young, c.old = map[K]V{}, c.young
	}
	c.young[key] = v
}

// len is how many entries there are.
func (c *cache[K, V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.young) + len(c.old)
}
