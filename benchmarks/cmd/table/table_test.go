package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wechatqr/wechatqr/benchmarks"
)

// printed is what go test -bench says in one round.
const printed = `goos: linux
goarch: amd64
pkg: github.com/wechatqr/wechatqr/benchmarks
cpu: Some Processor @ 3.00GHz
BenchmarkOpenParse/bare_crypto-8         	  245028	      %d ns/op	     992 B/op	       2 allocs/op
BenchmarkOpenParse/wechatqr-8            	  122912	      %d ns/op	     816 B/op	       3 allocs/op
BenchmarkOpenParse/encoding/xml-8        	  122912	      9000 ns/op	     816 B/op	       3 allocs/op
BenchmarkConnections/net/http,_64_idle-8 	       1	 209700000 ns/op	        64.00 connections/op
PASS
`

func rounds(t *testing.T, times ...[2]int) *measured {
	t.Helper()
	var m measured
	for _, pair := range times {
		require.NoError(t, m.read(strings.NewReader(fmt.Sprintf(printed, pair[0], pair[1]))))
	}
	return &m
}

func TestRead(t *testing.T) {
	t.Parallel()
	m := rounds(t, [2]int{1000, 2000}, [2]int{3000, 4500})
	assert.Equal(t, "Some Processor @ 3.00GHz", m.cpu)
	lines := m.of(benchmarks.OpenParse)
	require.Len(t, lines, 3)
	assert.Equal(t, "bare crypto", lines[0].by)
	assert.Equal(t, "wechatqr", lines[1].by)
	assert.Equal(t, "encoding/xml", lines[2].by)
	assert.InDeltaSlice(t, []float64{1e-6, 3e-6}, lines[0].values["sec/op"], 1e-12)
	assert.Equal(t, []float64{3, 3}, lines[1].values["allocs/op"])
	connections := m.of(benchmarks.Connections)
	require.Len(t, connections, 1)
	assert.Equal(t, "net/http, 64 idle", connections[0].by)
	assert.Equal(t, []float64{64, 64}, connections[0].values["connections/op"])
}

func TestRatiosAreOfOneRound(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []float64{2, 3, 1.5}, ratios([]float64{2, 9, 3}, []float64{1, 3, 2}))
}

func TestCells(t *testing.T) {
	t.Parallel()
	open := row{"Open", benchmarks.OpenParse, "sec/op", limit{floors: 1.6, allocs: "9"}}
	ours := func(t *testing.T, r row, times ...[2]int) []string {
		t.Helper()
		cells, err := r.cells(rounds(t, times...))
		require.NoError(t, err)
		require.Len(t, cells, 3)
		assert.Equal(t,
			[]string{"Open", "bare crypto", "1.00 µs", "", "0.62", "2", "floor"}, cells[0])
		return cells[1]
	}
	six := func(nanoseconds ...int) (out [][2]int) {
		for _, n := range nanoseconds {
			out = append(out, [2]int{1000, n})
		}
		return out
	}
	t.Run("limit kept", func(t *testing.T) {
		t.Parallel()
		got := ours(t, open, six(1600, 1610, 1600, 1610, 1610, 1610)...)
		assert.Equal(t, []string{"", "wechatqr", "1.61 µs ± 1%", "1.6", "", "3",
			"limit: 1.6 × floor, 9 allocs"}, got)
	})
	t.Run("limit missed", func(t *testing.T) {
		t.Parallel()
		got := ours(t, open, six(1601, 1601, 1601, 1601, 1601, 1601)...)
		assert.Equal(t, []string{"", "wechatqr", "1.60 µs", "1.6", "", "3",
			"**misses its limit: 1.6 × floor, 9 allocs**"}, got)
	})
	t.Run("too few rounds to tell", func(t *testing.T) {
		t.Parallel()
		got := ours(t, open, six(1620, 1620, 1620, 1620, 1620)...)
		assert.Equal(t, []string{"", "wechatqr", "1.62 µs", "1.6", "", "3",
			"limit: 1.6 × floor, 9 allocs"}, got)
	})
	for name, c := range map[string]struct {
		limit limit
		want  string
	}{
		"as many allocations as allowed": {limit{allocs: "3"}, "limit: 3 allocs"},
		"more allocations than allowed":  {limit{allocs: "2"}, "**misses its limit: 2 allocs**"},
		"more allocations than the floor": {limit{allocs: "floor"},
			"**misses its limit: 2 allocs**"},
		"as long as allowed":  {limit{value: 1.61e-6}, "limit: 1.61 µs"},
		"longer than allowed": {limit{value: 1.59e-6}, "**misses its limit: 1.59 µs**"},
		"one of two limits missed": {limit{floors: 2, allocs: "2"},
			"**misses its limit: 2.0 × floor, 2 allocs**"},
		"none": {limit{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ours(t, row{"Open", benchmarks.OpenParse, "sec/op", c.limit},
				six(1600, 1600, 1600, 1600, 1600, 1600)...)
			assert.Equal(t, c.want, got[6])
		})
	}
	t.Run("not measured", func(t *testing.T) {
		t.Parallel()
		parse := row{"Parse", benchmarks.ParseScan, "sec/op", limit{}}
		_, err := parse.cells(rounds(t, [2]int{1, 1}))
		require.ErrorContains(t, err, "ParseScan")
	})
	t.Run("without the unit", func(t *testing.T) {
		t.Parallel()
		open := row{"Open", benchmarks.OpenParse, "calls/op", limit{}}
		_, err := open.cells(rounds(t, [2]int{1, 1}))
		require.ErrorContains(t, err, "calls/op")
	})
}

func TestNotesSayWhoDoesLess(t *testing.T) {
	t.Parallel()
	r := row{"Open", benchmarks.OpenParse, "sec/op", limit{}}
	assert.Equal(t, "does not check signature, age, AppID", r.notes(&line{by: "fastwego"}, nil))
	assert.Equal(t, "does not check age; its steps, called one by one",
		r.notes(&line{by: "silenceper"}, nil))
	assert.Empty(t, r.notes(&line{by: "wechatqr"}, nil))
}

func TestProgramCells(t *testing.T) {
	t.Parallel()
	programs := []program{
		{by: "net/http", size: 1 << 20},
		{by: "wechatqr", size: 1.0625 * (1 << 20), modules: []*debug.Module{{Path: "a"}}},
		{by: "PowerWeChat", size: 2 << 20, modules: []*debug.Module{{Path: "a", Version: "v1.2.3"},
			{Path: "b"}}},
	}
	size := func(p program) float64 { return p.size }
	assert.Equal(t, [][]string{
		{"Program", "net/http", "1.00 MiB", "", "0.941", "", "floor"},
		{"", "wechatqr", "1.06 MiB", "1.062", "", "",
			"links 1 module; **misses its limit: 1.03 × floor**"},
		{"", "PowerWeChat", "2.00 MiB", "2.000", "1.882", "", "links 2 modules"},
	}, programCells("Program", limit{floors: 1.03}, programs, size))
	assert.Equal(t, "v1.2.3", programs[2].version("a"))
	assert.Empty(t, programs[2].version("c"))
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "| a  | µs  |\n|----|-----|\n| bb | ccc |\n",
		markdown([][]string{{"a", "µs"}, {"bb", "ccc"}}))
}

func TestReplaceTable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "README.md")
	require.NoError(t, os.WriteFile(file, []byte("before\n"+begin+"old\n"+end+"after\n"), 0o600))
	require.NoError(t, replaceTable(file, "new\n"))
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "before\n"+begin+"\nnew\n\n"+end+"after\n", string(got))

	require.NoError(t, os.WriteFile(file, []byte("no marks\n"), 0o600))
	require.Error(t, replaceTable(file, "new\n"))
	got, err = os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "no marks\n", string(got))
}
