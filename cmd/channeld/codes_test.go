package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/xuri/excelize/v2"

	"github.com/wechatqr/wechatqr/channels"
	"github.com/wechatqr/wechatqr/cmd/channeld/internal/web"
	"github.com/wechatqr/wechatqr/wechatqrtest"
)

// upload posts a file and other fields. The body is that of the page it leads to.
func upload(
	t *testing.T, client *http.Client, address, field, name string, data []byte, fields ...string,
) (status int, body, location string) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		require.NoError(t, form.WriteField(fields[i], fields[i+1]))
	}
	file, err := form.CreateFormFile(field, name)
	require.NoError(t, err)
	_, err = file.Write(data)
	require.NoError(t, err)
	require.NoError(t, form.Close())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, &b)
	require.NoError(t, err)
	r.Header.Set("Content-Type", form.FormDataContentType())
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text), resp.Header.Get("Location")
}

func workbook(t *testing.T, rows ...[]any) []byte {
	t.Helper()
	f := excelize.NewFile()
	for i := range rows {
		require.NoError(t, f.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &rows[i]))
	}
	var b bytes.Buffer
	require.NoError(t, f.Write(&b))
	return b.Bytes()
}

// A list is started once, however often the button is clicked. Whoever comes back to it, by a
// reload or the browser's history, finds the codes that are made.
func TestAListIsStartedOnce(t *testing.T) {
	t.Parallel()
	d := newTestDesk(t)
	browser := d.as(t, web.Operator)
	status, _, draft := upload(t, browser, d.origin+"/make", "file", "a.csv",
		[]byte("k-1,店,批量\nk-2,又,批量\n"))
	require.Equal(t, http.StatusSeeOther, status)
	job := "/make/" + strings.TrimPrefix(draft, "/make/drafts/")
	var clicks sync.WaitGroup
	for range 8 {
		clicks.Go(func() {
			status, where := post(t, browser, d.origin+draft+"/start", nil)
			assert.Equal(t, http.StatusSeeOther, status)
			assert.Contains(t, []string{job, draft}, where)
		})
	}
	clicks.Wait()
	status, where := post(t, browser, d.origin+draft+"/start", nil)
	assert.Equal(t, http.StatusSeeOther, status)
	assert.Equal(t, job, where)
	status, where = request(t, browser, http.MethodGet, d.origin+draft, nil)
	assert.Equal(t, http.StatusSeeOther, status)
	assert.Contains(t, where, job)
	jobs, err := d.store.Jobs(t.Context())
	require.NoError(t, err)
	assert.Len(t, jobs, 1)
	waitFor(t, "the codes", func() bool {
		_, body := get(t, browser, d.origin+job)
		return strings.Contains(body, "已完成")
	})
	assert.Equal(t, 2, d.wx.Count("/cgi-bin/qrcode/create"))
}

func TestMakeCodesFromAWorkbook(t *testing.T) {
	t.Parallel()
	d, ctx := newTestDesk(t), t.Context()
	_, err := d.ledger.Ensure(ctx, d.client, channels.Channel{Key: "old", Name: "老店"})
	require.NoError(t, err)
	rows := [][]any{
		{"渠道名称", "编号", "分组"}, {"老店", "old", ""}, {"七店", "sh-7", "又"},
		{"八店", "sh-8", "华东"}, {"又是八店", "sh-8", "华东"}, {"太长", strings.Repeat("x", 65), ""},
	}
	for n := range 60 {
		rows = append(rows, []any{fmt.Sprint("批量", n), fmt.Sprint("b-", n), "批量"})
	}
	browser := d.as(t, web.Operator)
	status, _, draft := upload(t, browser, d.origin+"/make", "file", "名单.xlsx",
		workbook(t, rows...))
	require.Equal(t, http.StatusSeeOther, status)
	status, body := get(t, browser, d.origin+draft)
	require.Equal(t, http.StatusOK, status)
	assert.Regexp(t, `新建</dt><dd>61<`, body)
	assert.Contains(t, body, "另有改名或改组 1")
	assert.Regexp(t, `已有</dt><dd>1<`, body)
	assert.Regexp(t, `冲突</dt><dd>2<`, body)
	assert.Contains(t, body, "<td>“sh-8”在第 4 行已有：请只留一行</td>")
	assert.Contains(t, body, "<td>编号有 65 字节：须为 1 到 64 字节</td>")
	_, _ = get(t, browser, d.origin+"/language?to=en")
	_, english := get(t, browser, d.origin+draft)
	assert.Contains(t, english, "<td>&#34;sh-8&#34; is in line 4 too: leave one of them</td>")
	_, _ = get(t, browser, d.origin+"/language?to=zh-CN")
	assert.Regexp(t, `超额</dt><dd>0<`, body)
	made := d.wx.Count("/cgi-bin/qrcode/create")
	assert.Equal(t, 1, made, "nothing is made before the second click")

	// The day's calls end on the way.
	quota := wechatqrtest.Quota{Path: "/cgi-bin/qrcode/create", Daily: 21, Used: 1}
	d.wx.SetQuota(quota)
	_, job := post(t, browser, d.origin+draft+"/start", nil)
	waitFor(t, "45009", func() bool {
		_, body = get(t, browser, d.origin+job)
		return strings.Contains(body, "45009")
	})
	assert.Contains(t, body, "21 / 63")
	quota.Daily = 100
	d.wx.SetQuota(quota)
	_, _ = post(t, browser, d.origin+job+"/resume", nil)
	waitFor(t, "the end", func() bool {
		_, body = get(t, browser, d.origin+job)
		return strings.Contains(body, "已完成")
	})
	assert.Contains(t, body, "63 / 63")
	all, err := d.ledger.Codes(ctx, channels.Query{})
	require.NoError(t, err)
	assert.Len(t, all, 63)
	assert.Len(t, d.wx.QRCodes(), 63, "none is made twice")

	_, body = get(t, browser, d.origin+"/print?job="+strings.TrimPrefix(job, "/make/"))
	assert.Contains(t, body, "<strong>63</strong>")
}

func TestUploadsAreRefused(t *testing.T) {
	t.Parallel()
	d := newTestDesk(t)
	browser := d.as(t, web.Operator)
	for name, tt := range map[string]struct {
		data []byte
		want int
		says string
	}{
		"too large":  {bytes.Repeat([]byte("x,y\n"), 2<<20), 413, "5 MB"},
		"a ZIP bomb": {zipBomb(t), 422, "读不出渠道"},
		"a long text many times": {
			manyTimes(t, `<c r="A%d" t="s"><v>0</v></c>`), 422, "内容太多",
		},
		"cells far apart": {manyTimes(t, `<c r="XFD%d"><v>1</v></c>`), 422, "内容太多"},
		"not a workbook":  {[]byte("PK\x03\x04 and so on"), 422, "读不出渠道"},
		"a picture":       {[]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), 422, "读不出渠道"},
		"nothing":         {nil, 422, "读不出渠道"},
		"empty lines":     {[]byte("\n , \n"), 422, "读不出渠道"},
		"an open quote":   {[]byte("a,\"b\n"), 422, "第 1 行：引号没有成对"},
		"no key":          {[]byte("名称,分组\n一,二\n"), 422, "没有“编号”列"},
		"too many rows":   {bytes.Repeat([]byte("x\n"), channels.MaxCodes+1), 422, "100000"},
	} {
		status, body, _ := upload(t, browser, d.origin+"/make", "file", "f", tt.data)
		assert.Equal(t, tt.want, status, name)
		assert.Contains(t, body, tt.says, name)
	}
}

// zipBomb is a workbook of a few kilobytes that unzips to 200 MB.
func zipBomb(t *testing.T) []byte {
	return withSheet(t, func(w io.Writer) {
		zeros := make([]byte, 1<<20)
		for range 200 {
			_, _ = w.Write(zeros) // a Buffer takes everything
		}
	})
}

// manyTimes is a workbook whose cells repeat a text, or lie far apart, so that its CSV is a
// hundred times as large.
func manyTimes(t *testing.T, cell string) []byte {
	return withSheet(t, func(w io.Writer) {
		_, _ = io.WriteString(w, `<worksheet xmlns="http://schemas.openxmlformats.org/`+
			`spreadsheetml/2006/main"><sheetData>`)
		for n := range 700 {
			_, _ = fmt.Fprintf(w, `<row r="%d">`+cell+`</row>`, n+1, n+1)
		}
		_, _ = io.WriteString(w, `</sheetData></worksheet>`)
	})
}

// withSheet is a workbook with this sheet, in which a text of 30 000 letters is the shared
// string 0.
func withSheet(t *testing.T, sheet func(io.Writer)) []byte {
	t.Helper()
	book := workbook(t, []any{strings.Repeat("x", 30_000)})
	r, err := zip.NewReader(bytes.NewReader(book), int64(len(book)))
	require.NoError(t, err)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range r.File {
		part, err := w.Create(f.Name)
		require.NoError(t, err)
		if f.Name == "xl/worksheets/sheet1.xml" {
			sheet(part)
			continue
		}
		content, err := f.Open()
		require.NoError(t, err)
		_, err = io.Copy(part, content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.Less(t, b.Len(), 1<<20)
	return b.Bytes()
}

func TestPastedLists(t *testing.T) {
	t.Parallel()
	d := newTestDesk(t)
	browser := d.as(t, web.Operator)
	for name, text := range map[string]string{
		"as Excel copies it": "k-1\t一店\t华东\r\nk-2\t二店\t华东\r\n",
		"CSV with a BOM":     "\ufeffkey,name,group\nk-1,一店,华东\nk-2,二店,华东\n",
		"GBK":                "k-1,\xd2\xbb\xb5\xea\nk-2,\xb6\xfe\xb5\xea\n",
		"names alone":        "一店\n二店\n",
	} {
		status, _, draft := upload(t, browser, d.origin+"/make", "file", "f.csv", []byte(text))
		require.Equal(t, http.StatusSeeOther, status, name)
		_, body := get(t, browser, d.origin+draft)
		assert.Regexp(t, `新建</dt><dd>2<`, body, name)
		assert.Contains(t, body, "<td>二店</td>", name)
	}
}

// What is printed says what WeChat's code says.
func TestPrintedCodesAreReadBack(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("zbarimg"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	d, ctx := newTestDesk(t), t.Context()
	want := map[string]string{}
	for n := range 3 {
		c := channels.Channel{Key: fmt.Sprint("k-", n), Name: fmt.Sprint("店", n), Group: "华东/门店"}
		code, err := d.ledger.Ensure(ctx, d.client, c)
		require.NoError(t, err)
		want[c.Name+".png"] = code.Ticket.Content
	}
	browser := d.as(t, web.Viewer)
	status, body, _ := upload(t, browser, d.origin+"/print/zip", "logo", "", nil,
		"format", "png", "group", "华东")
	require.Equal(t, http.StatusOK, status)
	archive, err := zip.NewReader(strings.NewReader(body), int64(len(body)))
	require.NoError(t, err)
	got := map[string]string{}
	for _, f := range archive.File {
		content, err := f.Open()
		require.NoError(t, err)
		data, err := io.ReadAll(content)
		require.NoError(t, err)
		picture := filepath.Join(t.TempDir(), "code.png")
		require.NoError(t, os.WriteFile(picture, data, 0o600))
		text, err := exec.CommandContext(ctx, "zbarimg", "--quiet", "--raw", picture).Output()
		require.NoError(t, err)
		got[f.Name] = strings.TrimSpace(string(text))
	}
	assert.Equal(t, want, got)

	status, body, _ = upload(t, browser, d.origin+"/print/sheet", "logo", "", nil, "per", "6")
	require.Equal(t, http.StatusOK, status)
	assert.Equal(t, 3, strings.Count(body, "<figure>"))
	status, body = get(t, browser, d.origin+"/channels/k-1/code.svg")
	require.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, "<svg")
	status, _ = get(t, d.as(t, web.Guest), d.origin+"/channels/k-1/code.svg")
	assert.Equal(t, http.StatusNotFound, status, "a guest of another channel")
}

// A temporary code is printed after a second click only.
func TestTemporaryCodesAskTwice(t *testing.T) {
	t.Parallel()
	d, ctx := newTestDesk(t), t.Context()
	code, err := d.ledger.Ensure(ctx, d.client, channels.Channel{Key: "sh-7"})
	require.NoError(t, err)
	browser := d.as(t, web.Operator)
	form := map[string][]string{"days": {"7"}, "channel": {"sh-7"}}
	status, body := post(t, browser, d.origin+"/print/temporary", form)
	require.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, "到期后扫不出来")
	assert.Len(t, d.wx.QRCodes(), 1)

	form["sure"] = []string{"yes"}
	status, body = post(t, browser, d.origin+"/print/temporary", form)
	require.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, "<figure>")
	codes := d.wx.QRCodes()
	require.Len(t, codes, 2)
	assert.Equal(t, code.Ticket.Scene.Key(), codes[1].SceneStr)
	assert.WithinDuration(t, time.Now().AddDate(0, 0, 7), codes[1].ExpiresAt, time.Hour)
}
