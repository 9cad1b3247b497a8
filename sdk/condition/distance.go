package condition

import (
	"math"

	"cel.dev/cel-go/common/ast"
)

// earthRadius is the mean radius of the Earth in kilometres, as the IUGG has it.
const earthRadius = 6371.0088

// The names of distance's values, for messages, and their bounds in degrees.
var (
	coordinateNames  = [4]string{"latitude", "longitude", "latitude", "longitude"}
	coordinateBounds = [4]float64{90, 180, 90, 180}
)

// distance builds distance(lat, lon, lat, lon): kilometres between two points
// of the globe, along its surface. Null where one of the four is null.
func (b *builder) distance(list []ast.Expr, pos int) (*node, *Error) {
	const wayOut = `write distance(session.geo.lat, session.geo.lon, 38.72, -9.14)`
	if len(list) != 4 {
		return nil, b.fail(pos, wayOut, "distance takes the latitude and longitude of two points, not %d values", len(list))
	}
	args, err := b.all(list)
	if err != nil {
		return nil, err
	}
	t := tDouble
	for i, a := range args {
		if !a.typ.fits(tNumber) {
			return nil, b.fail(a.pos, wayOut, "a %s is a number of degrees, not %s", coordinateNames[i], a.typ)
		}
		if a.op == nodeConstant && a.value != nil {
			if _, bad := coordinate(i, a.value); bad != nil {
				return nil, b.fail(a.pos, wayOut, "%s", bad.message)
			}
		}
		t |= a.typ & tNull
	}
	n := newNode("distance", t, args, func(f *frame) any {
		var at [4]any
		for i, a := range args {
			if at[i] = a.eval(f); isFault(at[i]) {
				return at[i]
			}
		}
		return distanceOf(at)
	})
	n.cost += 10
	return n, nil
}

// distanceOf is the distance of two points: null where one of the four is null,
// a fault where one is no coordinate.
func distanceOf(at [4]any) any {
	var degrees [4]float64
	missing := false
	for i, v := range at {
		if v == nil {
			missing = true
			continue
		}
		var bad *fault
		if degrees[i], bad = coordinate(i, v); bad != nil {
			return bad
		}
	}
	if missing {
		return nil
	}
	return haversine(degrees)
}

// coordinate reads the i-th value of distance.
func coordinate(i int, v any) (float64, *fault) {
	degrees, is := toFloat(v)
	switch {
	case !is:
		return 0, faultf("a %s is a number of degrees, not %s", coordinateNames[i], typeName(v))
	case !(math.Abs(degrees) <= coordinateBounds[i]):
		return 0, faultf("a %s is between -%[2]v and %[2]v degrees", coordinateNames[i], coordinateBounds[i])
	}
	return degrees, nil
}

// haversine is the way from one point to the other on a globe; it is the same
// back, to the last bit.
func haversine(at [4]float64) float64 {
	const radian = math.Pi / 180
	lat := math.Sin((at[2] - at[0]) * radian / 2)
	lon := math.Sin((at[3] - at[1]) * radian / 2)
	// The conversions keep machines that multiply and add in one from rounding otherwise.
	h := float64(lat*lat) + float64(float64(math.Cos(at[0]*radian)*math.Cos(at[2]*radian))*float64(lon*lon))
	return 2 * earthRadius * math.Asin(math.Sqrt(min(1, h)))
}
