package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tributary-bus/tributary/sdk/condition"
)

// Load reads the configuration: the defaults, over them the YAML file (none
// where its name is empty), over it the TRIBUTARY_* variables of env, over them
// the settings of set, each "key=value", of which the last wins. A list is
// written with commas in env and set.
//
// In the file and in set, ${NAME} stands for a variable of env; a secret may be
// written as file:PATH and is then the content of that file. The error is
// [Problems], all of them.
func Load(file string, env, set []string) (Config, error) {
	s := &settings{env: environment(env)}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return Config{}, fmt.Errorf("read configuration: %w", err)
		}
		s.file(file, text)
	}
	s.variables(env)
	for _, pair := range set {
		key, value, ok := strings.Cut(pair, "=")
		origin := Origin{File: "--set " + key}
		if !ok {
			s.problems = append(s.problems, &Problem{Origin: origin, Message: "want key=value, such as --set http.addr=127.0.0.1:8080"})
			continue
		}
		if s.check(key, origin) {
			s.put(key, written{origin: origin, text: value, expand: true})
		}
	}
	return load(s)
}

// settings is what was written for each key.
type settings struct {
	env      map[string]string
	values   map[string]written
	problems Problems
}

// written is one value as somebody wrote it.
type written struct {
	origin Origin
	text   string
	list   []string
	isList bool
	expand bool // ${NAME} and file: are references
}

func (s *settings) put(key string, w written) {
	if s.values == nil {
		s.values = map[string]written{}
	}
	s.values[key] = w
}

// fail reports a problem with a setting, where it was written.
func (s *settings) fail(key, format string, args ...any) {
	s.problems = append(s.problems, &Problem{
		Origin: s.values[key].origin, Path: key, Message: fmt.Sprintf(format, args...),
	})
}

// check reports a key that is no setting.
func (s *settings) check(key string, origin Origin) bool {
	if _, ok := settingByKey(key); ok {
		return true
	}
	s.problems = append(s.problems, &Problem{Origin: origin, Path: key, Message: "unknown setting; " + meantSetting(key)})
	return false
}

// meantSetting is meant for keys: the nearest, or those below what is right.
func meantSetting(key string) string {
	keys := make([]string, len(allSettings))
	for i, s := range allSettings {
		keys[i] = s.key
	}
	if hint := Meant(key, keys); !strings.HasPrefix(hint, "want") {
		return hint
	}
	for prefix := key; prefix != ""; {
		prefix = prefix[:max(0, strings.LastIndexByte(prefix, '.'))]
		below := slices.DeleteFunc(slices.Clone(keys), func(k string) bool {
			return prefix == "" || !strings.HasPrefix(k, prefix+".")
		})
		if len(below) > 0 {
			return "want one of " + strings.Join(below, ", ")
		}
	}
	return "want one of " + strings.Join(keys, ", ")
}

// file reads a YAML text: nested or dotted keys.
func (s *settings) file(name string, text []byte) {
	nodes, err := readText(name, text)
	if err != nil {
		problem := &Problem{Origin: Origin{File: name}, Message: err.Error()}
		if p := new(positioned); errors.As(err, &p) {
			problem.Origin.Line, problem.Message = p.line, p.message
		}
		s.problems = append(s.problems, problem)
		return
	}
	if len(nodes) > 1 {
		s.problems = append(s.problems, &Problem{Origin: Origin{name, nodes[1].line},
			Message: "a second document; a configuration is one document"})
		return
	}
	for _, n := range nodes {
		if n.shape != object {
			s.problems = append(s.problems, &Problem{Origin: Origin{name, n.line},
				Message: "want an object of settings, got " + n.typeName()})
			continue
		}
		s.object(name, n, "")
	}
}

func (s *settings) object(file string, n *node, prefix string) {
	for _, f := range n.fields {
		key, origin := prefix+f.name, Origin{file, f.line}
		if isPrefix(key) && (f.value.shape == object || f.value.null()) {
			s.object(file, f.value, key+".")
			continue
		}
		if !s.check(key, origin) {
			continue
		}
		if first, ok := s.values[key]; ok {
			s.problems = append(s.problems, &Problem{Origin: origin, Path: key,
				Message: fmt.Sprintf("is set twice, first on line %d; remove one of them", first.origin.Line)})
			continue
		}
		w := written{origin: origin, isList: f.value.shape == array, expand: true}
		switch {
		case f.value.null():
			continue
		case w.isList:
			for _, item := range f.value.items {
				w.list = append(w.list, plainText(item))
			}
		case f.value.shape == object:
			s.put(key, w)
			s.fail(key, "want a value, got an object")
			continue
		default:
			w.text = plainText(f.value)
		}
		s.put(key, w)
	}
}

// plainText is a scalar as it was written, but for the notation of numbers.
func plainText(n *node) string {
	if text, ok := n.scalar.(string); ok {
		return text
	}
	return string(canonical(n))
}

const envPrefix = "TRIBUTARY_"

// variables reads the environment.
func (s *settings) variables(env []string) {
	for _, pair := range slices.Sorted(slices.Values(env)) {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || foreignVariable(name) {
			continue
		}
		origin := Origin{File: name}
		i := slices.IndexFunc(allSettings, func(t setting) bool { return t.env() == name })
		if i < 0 {
			names := make([]string, len(allSettings))
			for j, t := range allSettings {
				names[j] = t.env()
			}
			s.problems = append(s.problems, &Problem{Origin: origin, Message: "unknown setting; " + Meant(name, names)})
			continue
		}
		s.put(allSettings[i].key, written{origin: origin, text: value})
	}
}

// foreignVariable tells variables apart that begin alike and are no settings:
// those of the command line as a client, and those that Kubernetes gives to
// every container beside a service of that name.
func foreignVariable(name string) bool {
	switch name {
	case "TRIBUTARY_CONFIG", "TRIBUTARY_SERVER", "TRIBUTARY_TOKEN", "TRIBUTARY_PORT":
		return true
	}
	return strings.HasPrefix(name, "TRIBUTARY_PORT_") || strings.HasPrefix(name, "TRIBUTARY_SERVICE_")
}

func environment(env []string) map[string]string {
	m := make(map[string]string, len(env))
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		m[name] = value
	}
	return m
}

// load fills a configuration; nil is the defaults alone.
func load(s *settings) (Config, error) {
	if s == nil {
		s = &settings{}
	}
	var c Config
	root := reflect.ValueOf(&c).Elem()
	for _, t := range allSettings {
		w, ok := s.values[t.key]
		if !ok {
			w = written{text: t.standard}
		}
		if err := s.fill(t, root.FieldByIndex(t.index), w); err != nil {
			s.fail(t.key, "%v", err)
		}
	}
	if len(s.problems) == 0 {
		c.validate(s)
	}
	if len(s.problems) > 0 {
		return Config{}, s.problems
	}
	return c, nil
}

// fill parses a value into its field.
func (s *settings) fill(t setting, field reflect.Value, w written) error {
	if w.expand {
		var err error
		if w.text, err = s.expanded(w.text); err != nil {
			return err
		}
		for i := range w.list {
			if w.list[i], err = s.expanded(w.list[i]); err != nil {
				return err
			}
		}
	}
	if w.isList && t.kind != kindList && t.kind != kindSecrets {
		return fmt.Errorf("want a value, got a list")
	}
	switch t.kind {
	case kindList, kindSecrets:
		if !w.isList && w.text != "" {
			w.list = strings.Split(w.text, ",")
		}
		for i := range w.list {
			if w.list[i] = strings.TrimSpace(w.list[i]); w.list[i] == "" {
				return fmt.Errorf("element %d of the list is empty", i+1)
			}
		}
		if t.kind == kindList {
			field.Set(reflect.ValueOf(w.list))
			return nil
		}
		var secrets []Secret
		for _, text := range w.list {
			content, err := secret(text)
			if err != nil {
				return err
			}
			secrets = append(secrets, Secret(content))
		}
		field.Set(reflect.ValueOf(secrets))
		return nil
	case kindSecret:
		text, err := secret(w.text)
		field.SetString(text)
		return err
	case kindText:
		if choices := t.choices; len(choices) > 0 && !slices.Contains(choices, w.text) {
			return fmt.Errorf("unknown value %q; want one of %s", w.text, strings.Join(choices, ", "))
		}
		field.SetString(w.text)
		return nil
	case kindSwitch:
		if !slices.Contains(t.choices, w.text) {
			return fmt.Errorf("unknown value %q; want one of %s", w.text, strings.Join(t.choices, ", "))
		}
		field.SetBool(w.text == "true")
		return nil
	}
	n, err := t.kind.number(w.text)
	if err != nil {
		return err
	}
	least, most := t.bounds()
	if n < least || n > most {
		if t.most == "" {
			return fmt.Errorf("%s is too little; want at least %s", w.text, t.least)
		}
		return fmt.Errorf("%s is out of range; want %s to %s", w.text, t.least, t.most)
	}
	field.SetInt(n)
	return nil
}

var reference = regexp.MustCompile(`\$\{([^}]*)\}`)

// expanded replaces ${NAME} by what the environment says.
func (s *settings) expanded(text string) (string, error) {
	var err error
	text = reference.ReplaceAllStringFunc(text, func(ref string) string {
		name := ref[2 : len(ref)-1]
		value, ok := s.env[name]
		if !ok && err == nil {
			err = fmt.Errorf("the environment has no variable %q, which ${%s} stands for", name, name)
		}
		return value
	})
	return text, err
}

// secret follows a file: reference. Its errors do not repeat a secret.
func secret(written string) (string, error) {
	path, ok := strings.CutPrefix(written, "file:")
	if !ok {
		return written, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if content := strings.TrimSpace(string(text)); content != "" {
		return content, nil
	}
	return "", fmt.Errorf("the file %s is empty", path)
}

// ParseSize reads a number of bytes: 500, 32KB, 1MB, 2GB; a KB has 1024.
func ParseSize(text string) (Size, error) {
	number, unit := strings.TrimSpace(text), Size(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(strings.ToUpper(number), u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > int64(1<<62)/int64(unit) {
		return 0, fmt.Errorf("%q is not a size; want a number of bytes, such as 500, 32KB, 1MB or 2GB", text)
	}
	return Size(n) * unit, nil
}

// ParseDuration reads a span of time: 90s, 15m, 1h30m, 7d, 2w; 0 is none.
func ParseDuration(text string) (Duration, error) {
	if text == "0" {
		return 0, nil
	}
	d, err := condition.ParseDuration(text)
	if err == nil && d < 0 {
		return 0, fmt.Errorf("%q is negative; want a span of time, such as 30d", text)
	}
	return Duration(d.Truncate(time.Millisecond)), err
}
