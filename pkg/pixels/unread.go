package pixels

import (
	"fmt"
	"slices"
	"strings"
)

// unread holds formats that only errors name, each with a command that converts it. The
// first whose magic fits is it.
var unread = []struct{ name, magic, command string }{
	{"JPEG XL", "\xff\x0a", "djxl IN OUT.png"},
	{"JPEG XL", "\x00\x00\x00\x0cJXL ", "djxl IN OUT.png"},
	{"JPEG 2000", "\x00\x00\x00\x0cjP  ", "opj_decompress -i IN -o OUT.png"},
	{"JPEG 2000", "\xff\x4f\xff\x51", "opj_decompress -i IN -o OUT.png"},
	{"a large TIFF (BigTIFF)", "II+\x00", "magick IN OUT.png"},
	{"a large TIFF (BigTIFF)", "MM\x00+", "magick IN OUT.png"},
	{"an icon", "\x00\x00\x01\x00", "magick IN OUT.png"},
	{"Photoshop", "8BPS", "magick IN[0] OUT.png"},
	{"PDF", "%PDF", "pdftoppm -png IN OUT"},
	{"PostScript", "%!PS", "magick IN OUT.png"},
	{"a video", "\x1aE\xdf\xa3", video},
	{"a video", "RIFF????AVI ", video},
	{"SVG, HTML or XML", "<", "rsvg-convert IN -o OUT.png"},
	{"a camera's raw file", "FUJIFILM", "dcraw_emu -T IN"},
	{"a plain picture of Netpbm", "P?\n", "magick IN OUT.png"},
	{"a plain picture of Netpbm", "P? ", "magick IN OUT.png"},
	{"compressed by gzip", "\x1f\x8b", "gunzip -c IN > OUT"},
	{"a ZIP archive", "PK\x03\x04", "unzip IN"},
}

const video = "ffmpeg -i IN -vf fps=1 OUT-%04d.png"

// boxed holds the brands of files of ISO's base media format, which begin with a box
// "ftyp" (ISO/IEC 14496-12, 4.3; the brands are registered at mp4ra.org).
var boxed = []struct {
	name, command string
	brands        []string
}{
	{"AVIF", "avifdec IN OUT.png", []string{"avif", "avis"}},
	{"HEIC", "heif-convert IN OUT.jpg", []string{"heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs"}},
	{"JPEG 2000", "opj_decompress -i IN -o OUT.png", []string{"jp2 ", "jpx ", "jpm "}},
	{"a camera's raw file", "dcraw_emu -T IN", []string{"crx "}},
	{"HEIF", "heif-convert IN OUT.jpg", []string{"mif1", "mif2", "msf1"}},
}

// unknown says what a file is that isn't read, and what converts it.
func unknown(head []byte) string {
	if starts(head, "????ftyp") {
		var brands []string // the major one, its version, and the compatible ones
		for at := 8; at+4 <= len(head) && at+4 <= max(12, int(head[3])); at += 4 {
			brands = append(brands, string(head[at:at+4]))
		}
		for _, b := range boxed {
			if slices.ContainsFunc(brands, func(brand string) bool { return slices.Contains(b.brands, brand) }) {
				return convert(b.name, b.command)
			}
		}
		return convert("a video", video)
	}
	for _, u := range unread {
		if starts(head, u.magic) {
			return convert(u.name, u.command)
		}
	}
	var names []string
	for _, f := range formats {
		if !slices.Contains(names, f.name) {
			names = append(names, f.name)
		}
	}
	return "its first bytes are no known format's; convert it to one of " + strings.Join(names, ", ")
}

func convert(name, command string) string {
	return fmt.Sprintf("it is %s, which isn't read; convert it first, as with: %s", name, command)
}
