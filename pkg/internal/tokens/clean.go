package tokens

import (
	"errors"
	"fmt"
	"html"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// ErrUTF8 is returned if a text is not valid UTF-8.
var ErrUTF8 = errors.New("text is not valid UTF-8")

// CheckUTF8 fails with ErrUTF8 if a text is not valid UTF-8. what is the text's name in
// the error.
func CheckUTF8(what, text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%w: %s %.40q", ErrUTF8, what, text)
	}
	return nil
}

// Clean returns text as CLIP's reference cleans it before splitting:
//
//	whitespace_clean(html.unescape(html.unescape(ftfy.fix_text(text)))).lower()
//
// It follows ftfy 6.3, except for the repair of mojibake. text is valid UTF-8.
func Clean(text string) string {
	var fixed strings.Builder
	entities := true
	for line := range strings.SplitAfterSeq(text, "\n") {
		// ftfy takes a < for a sign of HTML, and doesn't change entities from its line
		// on.
		entities = entities && !strings.Contains(line, "<")
		fixed.WriteString(fix(line, entities))
	}
	return lower(oneSpaced(unescape(unescape(fixed.String()))))
}

// terminalEscape matches a colour or cursor command of a terminal.
var terminalEscape = regexp.MustCompile(`\x1b\[[\p{Nd};]*[a-zA-Z]`)

// fix is ftfy.fix_and_explain. It repeats its fixes until none changes line.
func fix(line string, entities bool) string {
	for {
		before := line
		if entities {
			line = unescapeClosed(line)
		}
		line = standardForms(line)
		line = terminalEscape.ReplaceAllString(line, "")
		line = strings.Map(withoutControl, line)
		line = norm.NFC.String(line)
		if line == before {
			return line
		}
	}
}

// windows1252 are the characters of the bytes 0x80 to 0x9f in Windows-1252. Bytes that it
// leaves open stand for themselves.
var windows1252 = []rune("€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009dž\u0178")

// standardForms replaces single characters by plainer ones: C1 controls by the characters
// of Windows-1252, Latin ligatures and digraphs by their letters, forms of half and full
// width by the usual ones, curly quotes by straight ones, and line separators by
// newlines.
func standardForms(line string) string {
	var plain strings.Builder
	for _, r := range line {
		if r >= 0x80 && r <= 0x9f {
			r = windows1252[r-0x80]
		}
		switch {
		case r == 'ŉ':
			plain.WriteString("'n")
		case r == 'ﬅ':
			plain.WriteString("ſt")
		case isLigature(r), r >= 0xff01 && r <= 0xffef, r == 0x3000:
			plain.WriteString(norm.NFKC.String(string(r)))
		case r == 'ʼ', r >= '‘' && r <= '‛':
			plain.WriteByte('\'')
		case r >= '“' && r <= '‟':
			plain.WriteByte('"')
		case r == '\r', r == '\u2028', r == '\u2029', r == '\u0085':
			plain.WriteByte('\n')
		default:
			plain.WriteRune(r)
		}
	}
	return plain.String()
}

// isLigature reports whether ftfy takes r apart as Unicode's compatibility decomposition
// does.
func isLigature(r rune) bool {
	return r == 'Ĳ' || r == 'ĳ' || r >= 'Ǆ' && r <= 'ǌ' || r >= 'Ǳ' && r <= 'ǳ' || r >= 'ﬀ' && r <= 'ﬆ'
}

// withoutControl drops the characters that ftfy.fixes.remove_control_chars drops.
func withoutControl(r rune) rune {
	switch {
	case r < 0x09, r == 0x0b, r >= 0x0e && r < 0x20, r == 0x7f,
		r >= 0x206a && r < 0x2070, r == 0xfeff, r >= 0xfff9 && r < 0xfffd:
		return -1
	}
	return r
}

// closedReference matches the character references that ftfy knows. Unlike in HTML, they
// must have the semicolon.
var closedReference = regexp.MustCompile(`&#?[0-9A-Za-z]{1,24};`)

// unescapeClosed is ftfy.fixes.unescape_html. If a reference becomes an ampersand that
// begins another reference, it continues with that, as fix would in its next turn. So
// nested references don't each cost a turn of fix.
func unescapeClosed(text string) string {
	var plain strings.Builder
	for {
		at := closedReference.FindStringIndex(text)
		if at == nil {
			plain.WriteString(text)
			return plain.String()
		}
		plain.WriteString(text[:at[0]])
		found := unescapedClosed(text[at[0]:at[1]])
		if text = text[at[1]:]; found == "&" {
			text = found + text
		} else {
			plain.WriteString(found)
		}
	}
}

func unescapedClosed(ref string) string {
	plain := unescape(ref)
	if plain == ref && ref == strings.ToUpper(ref) {
		// &EACUTE; is no entity, but an entity of a text in capitals.
		plain = strings.ToUpper(strings.ReplaceAll(unescape(strings.ToLower(ref)), "ß", "ss"))
	}
	if plain == ";" && ref[1] != '#' || !strings.Contains(plain, ";") {
		return plain
	}
	return ref // only a part of it is an entity, as in &notit;
}

// reference matches the character references of Python's html.unescape.
var reference = regexp.MustCompile(`&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[0-9A-Za-z]+;?)`)

// unescape is Python's html.unescape. Go's html.UnescapeString knows the same names, but
// keeps numbers that HTML forbids.
func unescape(text string) string {
	if !strings.Contains(text, "&") {
		return text
	}
	return reference.ReplaceAllStringFunc(text, func(ref string) string {
		digits, numeric := strings.CutPrefix(strings.TrimSuffix(ref, ";"), "&#")
		if !numeric {
			return html.UnescapeString(ref)
		}
		base := 10
		if digits[0] == 'x' || digits[0] == 'X' {
			digits, base = digits[1:], 16
		}
		code, err := strconv.ParseUint(digits, base, 32)
		if err != nil {
			code = unicode.MaxRune + 1
		}
		return character(rune(min(code, unicode.MaxRune+1)))
	})
}

// character returns the text of a numeric reference to code in HTML.
func character(code rune) string {
	switch {
	case code == 0, code > unicode.MaxRune, code >= 0xd800 && code <= 0xdfff:
		return string(utf8.RuneError)
	case code >= 0x80 && code <= 0x9f:
		return string(windows1252[code-0x80])
	case code < 0x20 && !unicode.IsSpace(code), code == 0x0b, code == 0x7f,
		code >= 0xfdd0 && code <= 0xfdef, code&0xfffe == 0xfffe:
		return ""
	}
	return string(code)
}

// lower is Python's str.lower: besides the mapping of single characters, İ keeps its dot
// and a Σ at the end of a word becomes ς (Unicode's SpecialCasing.txt).
func lower(text string) string {
	if !strings.ContainsAny(text, "İΣ") {
		return strings.ToLower(text)
	}
	var lowered strings.Builder
	for i, r := range text {
		switch {
		case r == 'İ':
			lowered.WriteString("i̇")
		case r == 'Σ' && lastIsCased(text[:i]) && !firstIsCased(text[i+len("Σ"):]):
			lowered.WriteRune('ς')
		default:
			lowered.WriteRune(unicode.ToLower(r))
		}
	}
	return lowered.String()
}

// lastIsCased reports whether text ends in a cased letter, apart from characters that
// don't count, such as accents.
func lastIsCased(text string) bool {
	r, _ := utf8.DecodeLastRuneInString(strings.TrimRightFunc(text, caseIgnorable))
	return cased(r)
}

func firstIsCased(text string) bool {
	r, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(text, caseIgnorable))
	return cased(r)
}

// cased reports whether r has Unicode's derived property Cased.
func cased(r rune) bool {
	return unicode.In(r, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Other_Lowercase, unicode.Other_Uppercase)
}

// caseIgnorable reports whether r has Unicode's derived property Case_Ignorable.
func caseIgnorable(r rune) bool {
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Lm, unicode.Sk) ||
		strings.ContainsRune("'.:·\u0387\u055f\u05f4‘’․‧\ufe13\ufe52\ufe55＇．：", r)
}

// oneSpaced returns the words of text with one space in between.
func oneSpaced(text string) string { return strings.Join(strings.Fields(text), " ") }
