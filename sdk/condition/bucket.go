package condition

import (
	"crypto/sha256"
	"encoding/binary"

	"cel.dev/cel-go/common/ast"
)

// maxBuckets is into how many parts profiles can be divided.
const maxBuckets = 1_000_000

// bucket builds bucket(name, n): a number from 0 to n-1 that a profile has by
// its id, as if it were drawn: the same every time, and another one for another
// name. Null where there is no profile.
func (b *builder) bucket(list []ast.Expr, pos int) (*node, *Error) {
	const wayOut = `write bucket("spring-test", 100) < 10 for a tenth of all profiles`
	switch {
	case !b.scope.has(varProfile):
		return nil, b.fail(pos, "use "+b.scope.String(), "bucket divides profiles, and there is no profile here")
	case len(list) != 2:
		return nil, b.fail(pos, wayOut, "bucket takes a name and a number of buckets, not %d values", len(list))
	}
	args, err := b.all(list)
	if err != nil {
		return nil, err
	}
	name, isText := args[0].value.(string)
	if !isText || name == "" {
		return nil, b.fail(args[0].pos, wayOut, "the name of a division is a text that is written out")
	}
	of, isInt := args[1].value.(int64)
	if !isInt || of < 1 || of > maxBuckets {
		return nil, b.fail(args[1].pos, wayOut, "the number of buckets is written out, from 1 to %d", maxBuckets)
	}
	b.read(varProfile)
	id := []string{"id"}
	n := newNode("bucket", tInt|tNull, args, func(f *frame) any { return bucketOf(readPath(f.vars.Profile, id), name, of) })
	n.fixed = false
	n.cost += 10
	return n, nil
}

// bucketOf is the bucket of a profile's id: the first eight bytes of the SHA-256
// of name, NUL and id as a big-endian number, modulo the number of buckets.
func bucketOf(id any, name string, of int64) any {
	text, is := id.(string)
	if !is {
		if id == nil {
			return nil
		}
		return faultf("the id of a profile is a text, not %s", typeName(id))
	}
	sum := sha256.Sum256([]byte(name + "\x00" + text))
	return int64(binary.BigEndian.Uint64(sum[:8]) % uint64(of))
}
