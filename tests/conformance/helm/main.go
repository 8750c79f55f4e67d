// The oracle says what upstream Helm makes of the conformance cases in charts/, natively and from the real disk.
//
//	oracle render CASES      one JSON line a case: what it renders to, or the error
//	oracle functions         every function of templates that Helm knows, one a line
//	oracle used CASES        one JSON line a case: which of those functions its templates call
//	oracle time CASE RUNS    how long each of RUNS renders of one case takes, in nanoseconds, one a line
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"
)

func main() {
	// Warnings are not compared.
	slog.SetLogLoggerLevel(slog.LevelError + 1)
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "render":
		return eachCase(args[1], render)
	case len(args) == 1 && args[0] == "functions":
		printFunctions()
		return nil
	case len(args) == 2 && args[0] == "used":
		return eachCase(args[1], usedBy)
	case len(args) == 3 && args[0] == "time":
		runs, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return printTimes(args[1], runs)
	}
	return errors.New("usage: oracle render CASES | oracle functions | oracle used CASES | oracle time CASE RUNS")
}

// printTimes renders a case again and again.
func printTimes(root string, runs int) error {
	c, err := open(root)
	if err != nil {
		return err
	}
	// The first one finds nothing in the processor's caches.
	for run := range runs + 1 {
		since := time.Now()
		if _, err := c.render(); err != nil {
			return err
		}
		if took := time.Since(since); run > 0 {
			fmt.Println(took.Nanoseconds())
		}
	}
	return nil
}
