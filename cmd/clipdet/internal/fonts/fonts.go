// Package fonts finds the fonts that labels of pictures need.
package fonts

import (
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/go-text/typesetting/fontscan"
	"github.com/go-text/typesetting/language"

	"github.com/clipdet/clipdet/cmd/clipdet/internal/files"
	"github.com/clipdet/clipdet/pkg/model"
	"github.com/clipdet/clipdet/pkg/overlay"
)

// most bounds a font's file. The largest collections for Chinese have 120 MB.
const most = 256 << 20

// Of returns the fonts for what the built-in font lacks in labels: the one in file, or
// where file is "" those of the system that have it. undrawn has the letters of each
// label that still can't be drawn.
//
// The system's fonts are looked for where fontconfig does, and only if they are needed.
// Their list is kept beside the cache of models.
func Of(labels []string, file string) (fonts []*overlay.Font, undrawn map[string]string, err error) {
	if file != "" {
		font, err := read(file)
		if err != nil {
			return nil, nil, fmt.Errorf("--font: %w", err)
		}
		fonts = append(fonts, font)
	}
	undrawn = lacking(labels, fonts)
	if file == "" && len(undrawn) > 0 {
		fonts = system(undrawn)
		undrawn = lacking(labels, fonts)
	}
	return fonts, undrawn, nil
}

func lacking(labels []string, fonts []*overlay.Font) map[string]string {
	lack := map[string]string{}
	for _, label := range labels {
		if letters := overlay.Undrawn(label, fonts...); letters != "" {
			lack[label] = letters
		}
	}
	return lack
}

func read(path string) (*overlay.Font, error) {
	f, err := files.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if len(data) > most {
		return nil, fmt.Errorf("%s: it has more than %d bytes", path, most)
	}
	font, err := overlay.ReadFont(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return font, nil
}

// system returns fonts of the system that have the letters, as far as there are any. A
// system without fonts, or with one that makes the scanner panic, has none.
func system(letters map[string]string) (fonts []*overlay.Font) {
	defer func() { _ = recover() }()
	list, forget, err := listFolder()
	if err != nil {
		return nil
	}
	defer forget()
	known := fontscan.NewFontMap(log.New(io.Discard, "", 0))
	if known.UseSystemFonts(list) != nil {
		return nil
	}
	known.SetQuery(fontscan.Query{Families: []string{fontscan.SansSerif}})
	tried := map[string]bool{}
	for _, label := range letters {
		for _, r := range label {
			if overlay.Undrawn(string(r), fonts...) == "" {
				continue
			}
			known.SetScript(language.LookupScript(r))
			face := known.ResolveFace(r)
			if face == nil {
				continue
			}
			path := known.FontLocation(face.Font).File
			if tried[path] {
				continue
			}
			tried[path] = true
			if font, err := read(path); err == nil {
				fonts = append(fonts, font)
			}
		}
	}
	return fonts
}

// listFolder returns the folder of the list of the system's fonts, and a function to call
// at the end. Where there is no cache that can be written, the folder is temporary.
func listFolder() (folder string, forget func(), err error) {
	if models, err := model.CacheDir(); err == nil {
		folder = filepath.Join(filepath.Dir(models), "fonts")
		if files.Writable(folder) == nil {
			return folder, func() {}, nil
		}
	}
	folder, err = os.MkdirTemp("", "clipdet-fonts-")
	return folder, func() { _ = os.RemoveAll(folder) }, err
}
