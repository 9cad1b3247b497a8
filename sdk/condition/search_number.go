package condition

// number lowers the comparison of a number that distance or bucket computes.
func (s *search) number(n *node, op Op, v any) (Predicate, *Error) {
	if v == nil || !literal(v) {
		return nil, s.refuse(n, "compare it with a number: "+n.op+"(...) < 10", "%s is compared with %s", n.op, typeName(v))
	}
	if n.op == "bucket" {
		return s.bucket(n, op, v)
	}
	return s.distance(n, op, v)
}

func (s *search) bucket(n *node, op Op, v any) (Predicate, *Error) {
	if s.document != varProfile {
		return nil, s.refuse(n, "search profiles", "bucket divides profiles, and the search is over %ss", s.document)
	}
	name, _ := n.args[0].value.(string)
	of, _ := n.args[1].value.(int64)
	return Bucket{Field: Field{Path: []string{"id"}}, Name: name, Buckets: of, Op: op, Value: v}, nil
}

// distance is between a point at two fields and one that is known.
func (s *search) distance(n *node, op Op, v any) (Predicate, *Error) {
	const wayOut = "write distance(session.geo.lat, session.geo.lon, 38.72, -9.14) < 10"
	at := n.args
	if _, known, err := s.value(at[0]); err != nil {
		return nil, err
	} else if known {
		at = []*node{at[2], at[3], at[0], at[1]} // it is as far back
	}
	var from [2]float64
	for i := range from {
		degrees, known, err := s.value(at[2+i])
		switch {
		case err != nil:
			return nil, err
		case !known || degrees == nil:
			return nil, s.refuse(n, wayOut, "the store measures from a point that is written out")
		}
		var bad *fault
		if from[i], bad = coordinate(i, degrees); bad != nil {
			return nil, s.refuse(n, wayOut, "%s", bad.message)
		}
	}
	d := Distance{FromLat: from[0], FromLon: from[1], Op: op, Value: v}
	for i, f := range []*Field{&d.Lat, &d.Lon} {
		if _, known, err := s.value(at[i]); err != nil {
			return nil, err
		} else if known {
			return nil, s.refuse(n, wayOut, "one point is written out, the other one is two fields")
		}
		var err *Error
		if *f, err = s.field(at[i]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// list reads a node as a list to look into.
func (s *search) list(n *node) (Field, *Error) {
	f, err := s.field(n)
	if err == nil && f.As == Listed && holdsTimes(f, s.document) {
		return f, s.refuse(n, "look into the map itself", "%s holds times", f.Path)
	}
	return f, err
}
