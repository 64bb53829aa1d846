package qrimage_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"log"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/wechatqr/wechatqr"
	"github.com/wechatqr/wechatqr/qrimage"
)

// ticket is one that CreateTicket returned.
var ticket = &wechatqr.Ticket{
	Value: "gQH47joAAAAAAAAAASxodHRw", Content: "http://weixin.qq.com/q/kZgfwMTm72WWPkovabbI",
	Scene: wechatqr.SceneString("shop-7"),
}

// A code for a web page: black on white, 8 pixels to a module.
func Example() {
	var png bytes.Buffer
	err := qrimage.PNG(&png, qrimage.Code{Ticket: ticket}, qrimage.Style{})
	fmt.Println(png.Len() > 0, err)
	// Output: true <nil>
}

// A picture to draw into another, here with a logo in its centre.
func ExampleImage() {
	mark := image.NewUniform(color.RGBA{7, 193, 96, 255})
	style := qrimage.Style{Logo: croppedImage{mark, image.Rect(0, 0, 64, 64)}}
	picture, err := qrimage.Image(qrimage.Code{Ticket: ticket}, style)
	if err != nil {
		log.Fatal(err)
	}
	centre := picture.Bounds().Max.Div(2)
	fmt.Println(picture.Bounds(), picture.At(centre.X, centre.Y))
	// Output: (0,0)-(360,360) {7 193 96 255}
}

// croppedImage is a picture with other bounds.
type croppedImage struct {
	image.Image
	bounds image.Rectangle
}

func (c croppedImage) Bounds() image.Rectangle { return c.bounds }

// A file of a code of 30 mm, for a page that is printed at 600 dpi.
func ExamplePNG() {
	dir, err := os.MkdirTemp("", "codes")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	file, err := os.Create(filepath.Join(dir, "shop-7.png"))
	if err != nil {
		log.Fatal(err)
	}
	style := qrimage.Style{Size: qrimage.Millimetres(30), DPI: 600}
	if err := qrimage.PNG(file, qrimage.Code{Ticket: ticket}, style); err != nil {
		log.Fatal(err)
	}
	if err := file.Close(); err != nil {
		log.Fatal(err)
	}

	file, err = os.Open(file.Name())
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	picture, format, err := image.DecodeConfig(file)
	fmt.Println(picture.Width, picture.Height, format, err)
	// Output: 709 709 png <nil>
}

// A green code with a caption, for a page or a designer.
func ExampleSVG() {
	style := qrimage.Style{Dark: color.RGBA{0, 90, 40, 255}, ShowCaption: true}
	var svg bytes.Buffer
	err := qrimage.SVG(&svg, qrimage.Code{Ticket: ticket, Caption: "北京店"}, style)
	fmt.Println(svg.String()[:100], err)
	// Output: <svg xmlns="http://www.w3.org/2000/svg" width="328" height="369" viewBox="0 0 41 46.125"><path fill= <nil>
}

// Colours that scanners cannot tell apart are refused.
func ExampleSVG_contrast() {
	style := qrimage.Style{Dark: color.RGBA{255, 200, 0, 255}}
	err := qrimage.SVG(&bytes.Buffer{}, qrimage.Code{Ticket: ticket}, style)
	fmt.Println(err)
	// Output: qrimage: SVG: invalid argument: the contrast of #ffc800 on #ffffff is 0.241, and scanners want 0.504: a darker Dark or a lighter Light
}

func ExampleTerminal() {
	if err := qrimage.Terminal(os.Stdout, qrimage.Code{Ticket: ticket}); err != nil {
		log.Fatal(err)
	}
}

// A sheet of twelve a page. Print it from a browser.
func ExampleSheet() {
	codes := []qrimage.Code{
		{Ticket: ticket, Caption: "北京朝阳店"},
		{Ticket: ticket, Caption: "上海静安店"},
	}
	var page bytes.Buffer
	err := qrimage.Sheet(&page, slices.Values(codes), qrimage.Layout{Title: "门店二维码"})
	fmt.Println(bytes.Count(page.Bytes(), []byte("<figure>")), "codes", err)
	// Output: 2 codes <nil>
}

// A code that will have expired on the wall is not printed by mistake.
func ExampleSheet_temporary() {
	short := *ticket
	short.ExpiresAt = time.Date(2100, 1, 31, 18, 0, 0, 0, time.UTC)
	codes := slices.Values([]qrimage.Code{{Ticket: &short, Caption: "today"}})
	var page bytes.Buffer
	fmt.Println(qrimage.Sheet(&page, codes, qrimage.Layout{}))
	fmt.Println(qrimage.Sheet(&page, codes, qrimage.Layout{AllowTemporary: true}))
	// Output:
	// qrimage: sheet: code 1, "today": invalid argument: the code is temporary, valid until 2100-01-31 18:00:00: print a permanent one, or set AllowTemporary
	// <nil>
}

// One file for each shop, for the printer.
func ExampleZIP() {
	codes := []qrimage.Code{
		{Ticket: ticket, Caption: "北京店"},
		{Ticket: ticket, Caption: "北京店"},
		{Ticket: ticket, Caption: "天津/南开"},
	}
	var archive bytes.Buffer
	style := qrimage.Style{Size: qrimage.Millimetres(40)}
	err := qrimage.ZIP(&archive, slices.Values(codes), qrimage.FormatSVG, style)
	fmt.Println(archive.Len() > 0, err)
	for _, name := range namesIn(archive.Bytes()) {
		fmt.Println(name)
	}
	// Output:
	// true <nil>
	// 北京店.svg
	// 北京店 (2).svg
	// 天津_南开.svg
}
