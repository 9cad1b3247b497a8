package bus

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The streams and buckets. A bucket is a stream whose name and subjects the
// key-value clients of NATS know.
const (
	streamIngest      = "INGEST"
	streamCommits     = "COMMITS"
	streamEvents      = "EVENTS"
	streamProfiles    = "KV_profiles"
	streamIdentities  = "KV_identities"
	streamSeen        = "SEEN"
	streamFlows       = "FLOWS"
	streamFlowHistory = "FLOWHISTORY"
	streamJobs        = "JOBS"
	streamDeadLetters = "DEADLETTERS"
	streamConfig      = "CONFIG"
	streamResources   = "KV_config"
	streamJobState    = "KV_jobs"
)

const (
	prefixProfiles   = "$KV.profiles."
	prefixIdentities = "$KV.identities."
	prefixResources  = "$KV.config."
	prefixJobState   = "$KV.jobs."
	prefixEvents     = "event."
	prefixRuns       = "flow.run."
	prefixListened   = "flow.listened."

	subjectProbe  = "ingest.probe"
	subjectConfig = "config.changes"

	// sharedType is the token of all event types that have none of their own.
	// No type is encoded as it.
	sharedType = "_"
)

func subjectIngest(partition int) string { return "ingest." + strconv.Itoa(partition) }
func subjectCommit(partition int) string { return "commit." + strconv.Itoa(partition) }
func subjectSeen(partition int) string   { return "seen." + strconv.Itoa(partition) }

func subjectEvent(partition int, typeToken string) string {
	return prefixEvents + strconv.Itoa(partition) + "." + typeToken
}

func subjectEvents(partition int) string { return prefixEvents + strconv.Itoa(partition) + ".>" }

func subjectDocument(partition int, profile string) string {
	return prefixProfiles + strconv.Itoa(partition) + "." + encodeToken(profile)
}

func subjectDocuments(partition int) string {
	return prefixProfiles + strconv.Itoa(partition) + ".*"
}

// profileOf returns the profile that a subject of the profiles bucket names.
func profileOf(subject string) (string, error) {
	rest, ok := strings.CutPrefix(subject, prefixProfiles)
	_, token, found := strings.Cut(rest, ".")
	if !ok || !found {
		return "", fmt.Errorf("subject %q names no profile", subject)
	}
	return decodeToken(token)
}

// typeTokenOf returns the last token of a subject of EVENTS.
func typeTokenOf(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// subjectRuns are all of subjectRun.
const subjectRuns = prefixRuns + "*"

func subjectRun(run string) string { return prefixRuns + encodeToken(run) }

// runOf returns the run that a subject of FLOWS names.
func runOf(subject string) (string, error) {
	token, ok := strings.CutPrefix(subject, prefixRuns)
	if !ok {
		return "", fmt.Errorf("subject %q names no run", subject)
	}
	return decodeToken(token)
}

func subjectDeadLetter(origin string) string { return "deadletter." + encodeToken(origin) }

func subjectResource(kind, id string) string {
	return prefixResources + encodeToken(kind) + "." + encodeToken(id)
}

// resourceOf returns the kind and id that a subject of the config bucket names.
func resourceOf(subject string) (kind, id string, err error) {
	k, i, ok := strings.Cut(strings.TrimPrefix(subject, prefixResources), ".")
	if !ok {
		return "", "", fmt.Errorf("subject %q names no resource", subject)
	}
	if kind, err = decodeToken(k); err != nil {
		return "", "", err
	}
	id, err = decodeToken(i)
	return kind, id, err
}

// subjectAction is where calls of an action arrive, subjectRequests where the
// core takes a plugin's requests, subjectEnded where it is told that a process
// of a plugin has ended. Their names are such as checkName lets pass.
func subjectAction(plugin, action string) string { return "action." + plugin + "." + action }
func subjectRequests(plugin string) string       { return "cmd." + plugin }
func subjectEnded(plugin string) string          { return "plugin.ended." + plugin }

// subjectStep is where the steps of a flow's runs are told, subjectListened where
// a node says that somebody listens to them. They are of no stream.
func subjectStep(flow string) string     { return "flow.step." + encodeToken(flow) }
func subjectListened(flow string) string { return prefixListened + encodeToken(flow) }

func inboxPlugin(plugin, unique string) string { return "_INBOX.plugin." + plugin + "." + unique }

// subjectsService are those on which a micro service of NATS tells about
// itself.
func subjectsService(name string) (list []string) {
	for _, verb := range []string{"PING", "INFO", "STATS"} {
		all := "$SRV." + verb
		list = append(list, all, all+"."+name, all+"."+name+".*")
	}
	return list
}

// subjectsDurable are those on which messages of a durable are asked for and
// acknowledged, by the server's old form of acknowledgements and its new one.
func subjectsDurable(d Durable) []string {
	of := d.Stream + "." + d.Name
	return []string{"$JS.API.CONSUMER.MSG.NEXT." + of, "$JS.ACK." + of + ".>", "$JS.ACK.*.*." + of + ".>"}
}

// maxName is how long the name of a plugin or of an action may be, in bytes.
const maxName = 32

// checkName tells whether a name of a plugin or action is one: [a-z][a-z0-9-]{0,31}.
func checkName(what, name string) error {
	ok := len(name) > 0 && len(name) <= maxName && 'a' <= name[0] && name[0] <= 'z'
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-'
	}
	if !ok {
		return fmt.Errorf("%q is no name of %s: want a lower-case letter, then up to %d letters, digits and hyphens", name, what, maxName-1)
	}
	return nil
}

func subjectJob(key string) string { return prefixJobState + encodeToken(key) }

var errToken = errors.New("not an encoded token")

// encodeToken makes one subject token, and one part of a bucket's key, of any
// text: letters, digits, '-' and '_' stand for themselves, every other byte is
// '=' and two hexadecimal digits, the empty text is "=".
// decodeToken(encodeToken(s)) is s.
func encodeToken(s string) string {
	if s == "" {
		return "="
	}
	if s == sharedType {
		return "=5F"
	}
	escaped := 0
	for i := 0; i < len(s); i++ {
		if !plain(s[i]) {
			escaped++
		}
	}
	if escaped == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+2*escaped)
	for i := 0; i < len(s); i++ {
		c := s[i]
		if plain(c) {
			b = append(b, c)
			continue
		}
		b = append(b, '=', hexDigits[c>>4], hexDigits[c&15])
	}
	return string(b)
}

// decodeToken takes what encodeToken made, and nothing else.
func decodeToken(token string) (string, error) {
	if token == "=" {
		return "", nil
	}
	if token == "" {
		return "", fmt.Errorf("%w: empty", errToken)
	}
	if !strings.Contains(token, "=") && token != sharedType && allPlain(token) {
		return token, nil
	}
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c == '=' {
			if i+2 >= len(token) {
				return "", fmt.Errorf("%w: %q ends within an escape", errToken, token)
			}
			high, low := strings.IndexByte(hexDigits, token[i+1]), strings.IndexByte(hexDigits, token[i+2])
			if high < 0 || low < 0 {
				return "", fmt.Errorf("%w: %q has a bad escape", errToken, token)
			}
			c = byte(high<<4 | low)
			i += 2
		}
		b = append(b, c)
	}
	s := string(b)
	if encodeToken(s) != token {
		return "", fmt.Errorf("%w: %q is not how %q is written", errToken, token, s)
	}
	return s, nil
}

const hexDigits = "0123456789ABCDEF"

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

func allPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		if !plain(s[i]) {
			return false
		}
	}
	return true
}
