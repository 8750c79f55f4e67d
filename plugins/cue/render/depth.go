package render

import (
	"cuelang.org/go/cue/scanner"
	"cuelang.org/go/cue/token"
)

// deepest is how deep brackets may be nested and how many operators may be in a row. What evaluates them calls itself, and a stack that
// is exhausted ends the plugin without an error.
const deepest = 1000

// tooDeep says where a file is nested deeper than that.
func tooDeep(name string, data []byte) *Error {
	file := token.NewFile(name, -1, len(data))
	var s scanner.Scanner
	// Mistakes are the parser's to tell.
	s.Init(file, data, func(token.Pos, string, []interface{}) {}, 0)
	brackets, operators := 0, 0
	for {
		pos, tok, _ := s.Scan()
		switch {
		case tok == token.EOF:
			return nil
		case tok == token.LPAREN, tok == token.LBRACK, tok == token.LBRACE:
			brackets, operators = brackets+1, 0
		case tok == token.RPAREN, tok == token.RBRACK, tok == token.RBRACE:
			brackets, operators = brackets-1, 0
		case tok.IsOperator() && tok != token.COMMA, tok == token.COLON:
			operators++
		case tok == token.COMMA, tok == token.INTERPOLATION:
			operators = 0
		}
		if brackets > deepest || operators > deepest {
			return at(pos, InvalidInput, "Take parts of it out into fields of their own.",
				"the file is nested deeper than %d levels", deepest)
		}
	}
}
