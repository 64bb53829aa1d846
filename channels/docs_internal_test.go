package channels

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// With this variable set, TestDefinitionsInDocs writes the tables between the marks.
const writeTables = "WECHATQR_WRITE_TABLES"

// The documentation has the definitions that reports carry, in the same words.
func TestDefinitionsInDocs(t *testing.T) {
	t.Parallel()
	tables := map[string][]Definition{
		"numbers":         append(definitionsOf(Columns()), retiredDefinition),
		"retention":       definitionsOf(RetentionColumns()),
		"loss ages":       lossAgeDefinitions,
		"origins":         append(originDefinitions[:3:3], noFollowDefinition),
		"conversions":     definitionsOf(ConversionColumns()),
		"models":          modelDefinitions,
		"figures":         comparisonDefinitions,
		"reconciled":      reconciledDefinitions,
		"permanent codes": append(budgetDefinitions[:2:2], planDefinitions...),
	}
	for name, zh := range map[string]bool{
		"../docs/counting.md": false, "../docs/zh/counting.md": true,
	} {
		file, err := os.ReadFile(name)
		require.NoError(t, err)
		text := string(file)
		for mark, definitions := range tables {
			begin, end := "<!-- begin "+mark+" -->\n", "<!-- end "+mark+" -->"
			before, rest, names := strings.Cut(text, begin)
			_, after, closed := strings.Cut(rest, end)
			require.True(t, names && closed, "%s: %s", name, begin)
			text = before + begin + definitionTable(definitions, zh) + end + after
		}
		if os.Getenv(writeTables) != "" {
			require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
			continue
		}
		const what = "tables of %s differ from the code: run make tables"
		assert.True(t, text == string(file), what, name)
	}
}

func definitionTable(definitions []Definition, zh bool) string {
	var b strings.Builder
	head := "| It is called | In JSON and CSV | It is |\n"
	if zh {
		head = "| 名称 | 在 JSON 与 CSV 中 | 含义 |\n"
	}
	b.WriteString(head + "|---|---|---|\n")
	for _, d := range definitions {
		term, text := d.Term, d.Text
		if zh {
			term, text = d.TermZH, d.TextZH
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", term, d.Name, text)
	}
	return b.String()
}
