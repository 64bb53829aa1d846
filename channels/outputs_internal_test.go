package channels

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// places are fields with a number that counts nothing: of the clock, of a file, and of what
// was asked.
var places = []string{"hour", "line", "top"}

// outputs are this package's types that the methods of a ledger return.
func outputs() map[reflect.Type]bool {
	all := map[reflect.Type]bool{}
	ledger := reflect.TypeFor[*Ledger]()
	for m := range ledger.NumMethod() {
		method := ledger.Method(m).Type
		for i := range method.NumOut() {
			collect(method.Out(i), all)
		}
	}
	return all
}

// collect takes the type apart as far as a struct of this package, also an iterator.
func collect(of reflect.Type, all map[reflect.Type]bool) {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice:
		collect(of.Elem(), all)
	case reflect.Func:
		for i := range of.NumIn() {
			collect(of.In(i), all)
		}
	case reflect.Struct:
		if of.PkgPath() == reflect.TypeFor[Ledger]().PkgPath() {
			all[of] = true
		}
	}
}

// numbersIn notes the JSON names of the numbers in the type and beneath it. Every field
// must have such a name.
func numbersIn(t *testing.T, of reflect.Type, names map[string]bool) {
	t.Helper()
	beneath := map[reflect.Type]bool{}
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.Anonymous {
			assert.NotEmpty(t, name, "JSON name of %v.%s", of, field.Name)
		}
		if field.Type == reflect.TypeFor[int]() || field.Type == reflect.TypeFor[int64]() {
			names[name] = true
		}
		collect(field.Type, beneath)
	}
	for one := range beneath {
		numbersIn(t, one, names)
	}
}

// Whatever a ledger returns has JSON names, and its JSON the definition of each number.
func TestEveryOutputCarriesItsDefinitions(t *testing.T) {
	t.Parallel()
	all := outputs()
	for _, one := range []any{
		Report{}, RetentionReport{}, LossAges{}, ConversionReport{}, Comparison{}, Reconciled{},
		Plan{}, Budget{}, Code{}, Visit{}, Assigned{}, Channel{},
	} {
		assert.Contains(t, all, reflect.TypeOf(one))
	}
	for of := range all {
		t.Run(of.Name(), func(t *testing.T) {
			t.Parallel()
			want := map[string]bool{}
			numbersIn(t, of, want)
			maps.DeleteFunc(want, func(name string, _ bool) bool {
				return slices.Contains(places, name)
			})
			if of == reflect.TypeFor[Report]() {
				want["net"] = true // a method
			}
			switch reflect.New(of).Interface().(type) {
			case *Report, *RetentionReport, *ConversionReport:
				want["retired"] = true // of a row's channel
			}

			text, err := json.Marshal(reflect.New(of).Elem().Interface())
			require.NoError(t, err)
			var got struct{ Definitions Definitions }
			require.NoError(t, json.Unmarshal(text, &got))
			defined := map[string]bool{}
			for _, d := range got.Definitions.Columns {
				defined[d.Name] = true
				assert.NotContains(t, []string{d.Term, d.TermZH, d.Text, d.TextZH}, "", d.Name)
			}
			assert.Equal(t, want, defined)
		})
	}
}

// The reasons of a comparison and the conflicts of a plan say in JSON what to do.
func TestJSONSaysWhatToDo(t *testing.T) {
	t.Parallel()
	reason := DiffReason{PushesLost, 3}
	for want, value := range map[string]any{
		reason.Hint():   Comparison{Days: []ComparedDay{{Reasons: []DiffReason{reason}}}},
		reason.HintZH(): reason,
		"use another":   Plan{Lines: []PlanLine{{Err: errors.New("use another")}}},
	} {
		text, err := json.Marshal(value)
		require.NoError(t, err)
		assert.Contains(t, string(text), `"`+want+`"`)
	}
}
