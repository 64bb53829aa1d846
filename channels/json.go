package channels

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"
)

// joinJSON writes the fields of all parts as one object. Each part is an object as JSON.
func joinJSON(parts ...any) ([]byte, error) {
	var all [][]byte
	for _, part := range parts {
		object, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		if fields := object[1 : len(object)-1]; len(fields) > 0 {
			all = append(all, fields)
		}
	}
	return slices.Concat([]byte("{"), bytes.Join(all, []byte(",")), []byte("}")), nil
}

// described is what an output says of its numbers.
type described struct {
	Zone        string      `json:"zone,omitempty"` // of days and hours
	Definitions Definitions `json:"definitions"`
}

func describe(asOf time.Time, definitions Definitions) described {
	return described{asOf.Location().String(), definitions}
}

func describeColumns(columns []Definition) described {
	return described{Definitions: Definitions{Columns: columns}}
}

// MarshalJSON adds the zone and the definitions of the numbers to the report's fields:
// "zone", and "definitions" as [Definitions]. Rows and Total have the numbers of Extra, too.
func (r Report) MarshalJSON() ([]byte, error) {
	type fields Report
	rows := make([]extended, len(r.Rows))
	for i := range rows {
		rows[i] = r.extend(r.Rows[i], i)
	}
	return joinJSON(struct {
		fields
		Rows  []extended `json:"rows"`
		Total extended   `json:"total"`
	}{fields(r), rows, r.extend(r.Total, len(rows))}, describe(r.AsOf, r.Definitions()))
}

// extended is a row or the total as JSON, with its numbers of Extra by their names.
type extended struct {
	of    any
	extra map[string]json.Number
}

func (r *Report) extend(of any, row int) extended {
	e := extended{of, map[string]json.Number{}}
	for _, col := range r.Extra {
		if n := col.at(row); n != "" {
			e.extra[col.Name] = n
		}
	}
	return e
}

func (e extended) MarshalJSON() ([]byte, error) { return joinJSON(e.of, e.extra) }

// MarshalJSON adds the zone and the definitions of the numbers to the report's fields:
// "zone", and "definitions" as [Definitions].
func (r ConversionReport) MarshalJSON() ([]byte, error) {
	type fields ConversionReport
	return joinJSON(fields(r), describe(r.AsOf, r.Definitions()))
}

// MarshalJSON adds the zone and the definitions of the numbers to the report's fields:
// "zone", and "definitions" as [Definitions].
func (r RetentionReport) MarshalJSON() ([]byte, error) {
	type fields RetentionReport
	return joinJSON(fields(r), describe(r.AsOf, r.Definitions()))
}

// MarshalJSON adds the zone and the definitions of the numbers to the fields: "zone", and
// "definitions" as [Definitions].
func (a LossAges) MarshalJSON() ([]byte, error) {
	type fields LossAges
	return joinJSON(fields(a), describe(a.AsOf, Definitions{Columns: lossAgeDefinitions}))
}

// MarshalJSON adds the zone and the definitions of the figures to the comparison's
// fields: "zone", and "definitions" as [Definitions].
func (c Comparison) MarshalJSON() ([]byte, error) {
	type fields Comparison
	return joinJSON(fields(c), describe(c.AsOf, Definitions{Columns: comparisonDefinitions}))
}

// MarshalJSON adds what [DiffReason.Hint] and [DiffReason.HintZH] say, as "hint" and
// "hint_zh".
func (r DiffReason) MarshalJSON() ([]byte, error) {
	type fields DiffReason
	return joinJSON(fields(r), map[string]string{"hint": r.Hint(), "hint_zh": r.HintZH()})
}

// MarshalJSON adds "definitions" to the fields, as [Definitions].
func (r Reconciled) MarshalJSON() ([]byte, error) {
	type fields Reconciled
	return joinJSON(fields(r), describeColumns(reconciledDefinitions))
}

// MarshalJSON adds "definitions" to the fields, as [Definitions].
func (b Budget) MarshalJSON() ([]byte, error) {
	type fields Budget
	return joinJSON(fields(b), describeColumns(budgetDefinitions))
}

// MarshalJSON adds "definitions" to the fields, as [Definitions].
func (p Plan) MarshalJSON() ([]byte, error) {
	type fields Plan
	return joinJSON(fields(p), describeColumns(planDefinitions))
}

// MarshalJSON writes the text of Err as "error", for people: it cannot be read back.
func (l PlanLine) MarshalJSON() ([]byte, error) {
	type fields PlanLine
	texts := map[string]string{}
	if l.Err != nil {
		texts["error"] = l.Err.Error()
	}
	return joinJSON(fields(l), texts)
}
