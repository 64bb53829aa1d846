package channels

import (
	"encoding/json"
	"time"
)

// reportContext is what a report says of itself, beside its numbers.
type reportContext struct {
	Zone        string      `json:"zone"` // of days and hours
	Definitions Definitions `json:"definitions"`
}

func contextOf(asOf time.Time, definitions Definitions) reportContext {
	return reportContext{asOf.Location().String(), definitions}
}

// MarshalJSON adds the zone and the definitions of the numbers to the report's fields:
// "zone", and "definitions" as [Definitions].
func (r Report) MarshalJSON() ([]byte, error) {
	type fields Report
	return json.Marshal(struct {
		fields
		reportContext
	}{fields(r), contextOf(r.AsOf, r.Definitions())})
}

// MarshalJSON adds the zone and the definitions of the numbers to the report's fields:
// "zone", and "definitions" as [Definitions].
func (r ConversionReport) MarshalJSON() ([]byte, error) {
	type fields ConversionReport
	return json.Marshal(struct {
		fields
		reportContext
	}{fields(r), contextOf(r.AsOf, r.Definitions())})
}

// MarshalJSON adds the zone and the definitions of the numbers to the report's fields:
// "zone", and "definitions" as [Definitions].
func (r RetentionReport) MarshalJSON() ([]byte, error) {
	type fields RetentionReport
	return json.Marshal(struct {
		fields
		reportContext
	}{fields(r), contextOf(r.AsOf, r.Definitions())})
}

// MarshalJSON adds the zone and the definitions of the numbers to the fields: "zone", and
// "definitions" as [Definitions].
func (a LossAges) MarshalJSON() ([]byte, error) {
	type fields LossAges
	return json.Marshal(struct {
		fields
		reportContext
	}{fields(a), contextOf(a.AsOf, Definitions{Columns: lossAgeDefinitions})})
}

// MarshalJSON adds the zone and the definitions of the figures to the comparison's
// fields: "zone", and "definitions" as [Definitions].
func (c Comparison) MarshalJSON() ([]byte, error) {
	type fields Comparison
	return json.Marshal(struct {
		fields
		reportContext
	}{fields(c), contextOf(c.AsOf, Definitions{Columns: figureDefinitions})})
}

// MarshalJSON adds what [DiffReason.Hint] and [DiffReason.HintZH] say, as "hint" and
// "hint_zh".
func (r DiffReason) MarshalJSON() ([]byte, error) {
	type fields DiffReason
	return json.Marshal(struct {
		fields
		Hint   string `json:"hint"`
		HintZH string `json:"hint_zh"`
	}{fields(r), r.Hint(), r.HintZH()})
}

// MarshalJSON adds "definitions" to the fields, as [Definitions].
func (r Reconciled) MarshalJSON() ([]byte, error) {
	type fields Reconciled
	return json.Marshal(struct {
		fields
		Definitions Definitions `json:"definitions"`
	}{fields(r), Definitions{Columns: reconciledDefinitions}})
}

// MarshalJSON adds "definitions" to the fields, as [Definitions].
func (b Budget) MarshalJSON() ([]byte, error) {
	type fields Budget
	return json.Marshal(struct {
		fields
		Definitions Definitions `json:"definitions"`
	}{fields(b), Definitions{Columns: budgetDefinitions}})
}

// MarshalJSON adds "definitions" to the fields, as [Definitions].
func (p Plan) MarshalJSON() ([]byte, error) {
	type fields Plan
	return json.Marshal(struct {
		fields
		Definitions Definitions `json:"definitions"`
	}{fields(p), Definitions{Columns: planDefinitions}})
}

// MarshalJSON writes the text of Err as "error", for people: it cannot be read back.
func (l PlanLine) MarshalJSON() ([]byte, error) {
	type fields PlanLine
	text := ""
	if l.Err != nil {
		text = l.Err.Error()
	}
	return json.Marshal(struct {
		fields
		Error string `json:"error,omitempty"`
	}{fields(l), text})
}
