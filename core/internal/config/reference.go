package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// A setting is one key of [Config], as the tags of its field describe it.
type setting struct {
	key, doc, standard string
	choices            []string
	least, most        string // bounds, as they are written; empty: none
	kind               settingKind
	index              []int
}

type settingKind string

const (
	kindText     settingKind = "text"
	kindSecret   settingKind = "secret"
	kindSecrets  settingKind = "list of secrets"
	kindList     settingKind = "list"
	kindNumber   settingKind = "number"
	kindSize     settingKind = "size"
	kindDuration settingKind = "duration"
	kindSwitch   settingKind = "switch"
)

// allSettings are the keys in the order of the struct.
var allSettings = settingsOf(reflect.TypeFor[Config](), "", nil)

func settingsOf(t reflect.Type, prefix string, index []int) []setting {
	var list []setting
	for i := range t.NumField() {
		f := t.Field(i)
		s := setting{
			key: prefix + f.Tag.Get("key"), doc: f.Tag.Get("doc"), standard: f.Tag.Get("default"),
			least: f.Tag.Get("min"), most: f.Tag.Get("max"), index: append(append([]int(nil), index...), i),
		}
		if choices := f.Tag.Get("choices"); choices != "" {
			s.choices = strings.Split(choices, ",")
		}
		switch f.Type {
		case reflect.TypeFor[Secret]():
			s.kind = kindSecret
		case reflect.TypeFor[[]Secret]():
			s.kind = kindSecrets
		case reflect.TypeFor[Size]():
			s.kind = kindSize
		case reflect.TypeFor[Duration]():
			s.kind = kindDuration
		case reflect.TypeFor[string]():
			s.kind = kindText
		case reflect.TypeFor[[]string]():
			s.kind = kindList
		case reflect.TypeFor[int]():
			s.kind = kindNumber
		case reflect.TypeFor[bool]():
			s.kind, s.choices = kindSwitch, []string{"true", "false"}
		default:
			list = append(list, settingsOf(f.Type, s.key+".", s.index)...)
			continue
		}
		list = append(list, s)
	}
	return list
}

func settingByKey(key string) (setting, bool) {
	for _, s := range allSettings {
		if s.key == key {
			return s, true
		}
	}
	return setting{}, false
}

// isPrefix tells whether there are settings below a key.
func isPrefix(key string) bool {
	for _, s := range allSettings {
		if strings.HasPrefix(s.key, key+".") {
			return true
		}
	}
	return false
}

// env is the setting's environment variable.
func (s setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// bounds are the least and the greatest value of a setting that is a number.
func (s setting) bounds() (least, most int64) {
	most = math.MaxInt64
	for _, bound := range []struct {
		text string
		into *int64
	}{{s.least, &least}, {s.most, &most}} {
		if bound.text == "" {
			continue
		}
		n, err := s.kind.number(bound.text)
		if err != nil {
			panic(fmt.Sprintf("bound of %s: %v", s.key, err))
		}
		*bound.into = n
	}
	return least, most
}

// number parses the kinds of setting that are stored as an integer.
func (k settingKind) number(text string) (int64, error) {
	switch k {
	case kindSize:
		n, err := ParseSize(text)
		return int64(n), err
	case kindDuration:
		n, err := ParseDuration(text)
		return int64(n), err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return n, nil
}

// Reference is the page of the user documentation that lists all settings.
func Reference() string {
	var b strings.Builder
	b.WriteString(`<!-- Generated from core/internal/config/settings.go by "make generate"; do not edit. -->

# Configuration

` + "`tributary run --config FILE`" + ` reads a YAML file. Its keys may be nested or dotted:

` + "```yaml" + `
http:
  addr: 127.0.0.1:8080
limits.event: 64KB
bus:
  urls: ["nats://${NATS_HOST}:4222"]
admin.token: file:/run/secrets/admin-token
` + "```" + `

An environment variable overrides the file, and ` + "`--set key=value`" + ` overrides both; the last of several wins.
A list is written with commas there. Unknown keys are errors.

- A **duration** is ` + "`90s`, `15m`, `1h30m`, `7d` or `2w`" + `; a **size** is in bytes, ` + "`32KB`, `1MB` or `2GB`" + `, where a KB has 1024 bytes.
- In the file and in ` + "`--set`, `${NAME}`" + ` stands for the environment variable NAME.
- A **secret** may be ` + "`file:PATH`" + `: it is then the content of that file. Secrets are never shown.

| key | default | what it is |
|---|---|---|
`)
	for _, s := range allSettings {
		standard := s.standard
		if standard != "" {
			standard = "`" + standard + "`"
		}
		fmt.Fprintf(&b, "| `%s`<br>`%s` | %s | %s%s |\n", s.key, s.env(), standard, s.doc, s.remark())
	}
	return b.String()
}

// remark tells type, choices and bounds.
func (s setting) remark() string {
	switch {
	case len(s.choices) > 0:
		return " One of `" + strings.Join(s.choices, "`, `") + "`."
	case s.least != "" && s.most != "":
		return fmt.Sprintf(" A %s from %s to %s.", s.kind, s.least, s.most)
	case s.least != "":
		return fmt.Sprintf(" A %s of at least %s.", s.kind, s.least)
	case s.kind == kindText:
		return ""
	}
	return fmt.Sprintf(" A %s.", s.kind)
}
