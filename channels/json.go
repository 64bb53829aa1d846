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
