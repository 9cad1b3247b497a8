package processor

// A cache keeps what was used lately, up to a bound on its size. It has two
// generations: what is read in the older one moves to the younger, and when
// the younger has reached half the bound it becomes the older, whose rest is
// let go. It is not safe for concurrent use.
type cache[V any] struct {
	bound      int // of both generations, in the unit of size
	size       func(V) int
	young, old map[string]V
	weight     int // of the young generation
}

func newCache[V any](bound int, size func(V) int) *cache[V] {
	return &cache[V]{bound: bound, size: size, young: map[string]V{}, old: map[string]V{}}
}

func (c *cache[V]) get(key string) (V, bool) {
	if v, ok := c.young[key]; ok {
		return v, true
	}
	v, ok := c.old[key]
	if ok {
		delete(c.old, key)
		c.put(key, v)
	}
	return v, ok
}

// put tells whether it let go of others.
func (c *cache[V]) put(key string, v V) (forgot bool) {
	if _, ok := c.young[key]; !ok {
		c.weight += c.size(v)
	}
	c.young[key] = v
	if c.weight > c.bound/2 {
		forgot = len(c.old) > 0
		c.young, c.old, c.weight = map[string]V{}, c.young, 0
	}
	return forgot
}

func (c *cache[V]) drop(key string) {
	if v, ok := c.young[key]; ok {
		c.weight -= c.size(v)
		delete(c.young, key)
	}
	delete(c.old, key)
}

func (c *cache[V]) clear() { c.young, c.old, c.weight = map[string]V{}, map[string]V{}, 0 }
