package sdk

import (
	"fmt"
	"reflect"
	"sync"
)

// A configCache decodes the configs of one action's nodes. Most are literal and
// come again with every call, so what was decoded is kept, by its text, within
// bounds: the two latest generations of up to cachedConfigs each.
type configCache[C any] struct {
	typ *configType

	mu       sync.RWMutex
	now, old map[string]C
}

const (
	cachedConfigs   = 256
	cachedConfigLen = 4 << 10 // bytes; a longer text is not kept
)

// get decodes a config, or returns what an equal text was decoded into.
func (c *configCache[C]) get(text []byte) (C, error) {
	c.mu.RLock()
	config, ok := c.now[string(text)]
	c.mu.RUnlock()
	if ok {
		return config, nil
	}
	return c.decode(text)
}

func (c *configCache[C]) decode(text []byte) (C, error) {
	c.mu.RLock()
	config, ok := c.old[string(text)]
	c.mu.RUnlock()
	if !ok {
		if err := c.typ.decode(text, reflect.ValueOf(&config).Elem()); err != nil {
			return config, fmt.Errorf("config: %w", err)
		}
	}
	if len(text) > cachedConfigLen {
		return config, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil || len(c.now) >= cachedConfigs {
		c.now, c.old = make(map[string]C), c.now
	}
	c.now[string(text)] = config
	return config, nil
}
