package serve

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"

	"github.com/clipdet/clipdet/pkg/detect"
)

// form is a multipart form of pictures.
type form struct {
	request  []byte // JSON; nil if there is none
	pictures []encoded
}

// encoded is a picture as it was sent.
type encoded struct {
	name string
	data []byte
}

// readForm reads a form. A part with a file name is a picture, whatever the name of the
// part is. It fails with ErrRequest, with detect.ErrLimit for more than most pictures, and
// with the errors of from.
func readForm(contentType string, from io.Reader, most int) (form, error) {
	var f form
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return f, wrong("the type %.80q has no boundary", contentType)
	}
	reader := multipart.NewReader(from, params["boundary"])
	for {
		part, err := reader.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return f, badForm(err)
		}
		data, err := io.ReadAll(part)
		if err != nil {
			return f, badForm(err)
		}
		name := part.FileName()
		switch {
		case part.FormName() == "request":
			if f.request != nil {
				return f, wrong("the form has several parts named request")
			}
			f.request = data // not nil, even without bytes
		case name == "":
			return f, wrong("the part %.80q of the form has no file name; pictures have one, and the JSON is named request", part.FormName())
		case len(f.pictures) == most:
			return f, fmt.Errorf("%w: more than %d pictures in a request", detect.ErrLimit, most)
		default:
			f.pictures = append(f.pictures, encoded{name, data})
		}
	}
	// What comes after the form's end would be waited for before the answer.
	if _, err := io.Copy(io.Discard, from); err != nil {
		return f, badForm(err)
	}
	if len(f.pictures) == 0 {
		return f, wrong("the form has no picture: a part with a file name")
	}
	return f, nil
}

// badForm returns an error of reading a form: of the body, or else ErrRequest.
func badForm(err error) error {
	for _, of := range []error{ErrBody, ErrTooLarge, ErrBusy} {
		if errors.Is(err, of) {
			return err
		}
	}
	return wrong("the form: %w", err)
}
