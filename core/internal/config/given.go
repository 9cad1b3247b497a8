package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Given reads settings, each "key=value", whose keys begin with a prefix such as "store.",
// as [Load] does, and returns what they say by their keys: variables and files that they
// refer to are followed. The error is [Problems], all of them.
func Given(prefix string, env, set []string) (map[string]string, error) {
	s := &settings{env: environment(env)}
	values := map[string]string{}
	for _, pair := range set {
		key, text, ok := strings.Cut(pair, "=")
		origin := Origin{File: "--set " + key}
		switch {
		case !ok:
			s.problems = append(s.problems, &Problem{Origin: origin, Message: "want key=value, such as --set store.sqlite.path=/var/lib/tributary/store.db"})
			continue
		case !s.check(key, origin):
			continue
		case !strings.HasPrefix(key, prefix):
			s.problems = append(s.problems, &Problem{Origin: origin, Path: key, Message: "cannot be changed here; want a setting that begins with " + prefix})
			continue
		}
		s.put(key, written{origin: origin})
		t, _ := settingByKey(key)
		text, err := s.expanded(text)
		if err == nil && t.kind == kindSecret {
			text, err = secret(text)
		}
		if err != nil {
			s.fail(key, "%v", err)
		}
		values[key] = text
	}
	if len(s.problems) > 0 {
		return nil, s.problems
	}
	// What they say together is up to who has the others.
	_, err := (&Config{}).with(s, values)
	return values, err
}

// With returns the configuration with some settings changed, as [Given] returns them. The
// error is [Problems].
func (c *Config) With(values map[string]string) (Config, error) {
	s := &settings{}
	changed, err := c.with(s, values)
	if err == nil {
		changed.Store.Elasticsearch.validate(s)
	}
	if len(s.problems) > 0 {
		return Config{}, s.problems
	}
	return changed, err
}

func (c *Config) with(s *settings, values map[string]string) (Config, error) {
	changed := *c
	root := reflect.ValueOf(&changed).Elem()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if _, known := s.values[key]; !known {
			s.put(key, written{origin: Origin{File: "--set " + key}})
		}
		if !s.check(key, s.values[key].origin) {
			continue
		}
		t, _ := settingByKey(key)
		w := written{origin: s.values[key].origin, text: values[key]}
		if err := s.fill(t, root.FieldByIndex(t.index), w); err != nil {
			s.fail(key, "%v", err)
		}
	}
	if len(s.problems) > 0 {
		return Config{}, s.problems
	}
	return changed, nil
}
