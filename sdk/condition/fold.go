package condition

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func callFold(f *frame, v any) any {
	s, is := v.(string)
	switch {
	case !is:
		return faultf("fold takes a text, not %s", typeName(v))
	case !f.spend(len(s) / 2):
		return tooMuch
	}
	return Fold(s)
}

// Fold makes texts equal that people take for the same: lower case, Latin
// letters without their marks (é is e), letters and signs in several forms as
// one (ß is ss, ﬁ is fi, a wide Ａ is a, ’ is '). Marks of other scripts tell
// words apart and stay.
func Fold(s string) string {
	if ascii(s) {
		return strings.ToLower(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	latin := false
	for _, r := range norm.NFKD.String(s) {
		if unicode.Is(unicode.Mn, r) {
			if !latin {
				b.WriteRune(r)
			}
			continue
		}
		latin = unicode.Is(unicode.Latin, r)
		if r = unicode.ToLower(r); r < utf8.RuneSelf {
			b.WriteByte(byte(r))
		} else if text, is := plainForms[r]; is {
			b.WriteString(text)
		} else {
			b.WriteRune(r)
		}
	}
	return norm.NFC.String(b.String())
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// plainForms are letters and signs that Unicode does not take apart.
var plainForms = map[rune]string{
	'ß': "ss", 'æ': "ae", 'œ': "oe", 'ø': "o", 'đ': "d", 'ð': "d", 'þ': "th", 'ħ': "h", 'ı': "i", 'ł': "l", 'ŋ': "n", 'ŧ': "t",
	'ƒ': "f", 'ȷ': "j", 'ς': "σ",
	'‘': "'", '’': "'", '‚': "'", '‛': "'", 'ʼ': "'", '′': "'", '“': `"`, '”': `"`, '„': `"`, '‟': `"`, '«': `"`, '»': `"`, '″': `"`,
	'‐': "-", '‒': "-", '–': "-", '—': "-", '―': "-", '−': "-", '⁄': "/",
}
