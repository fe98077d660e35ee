package harness

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"ringway.test/e2e/cluster"
	"ringway.test/e2e/load"
)

// Row is one scenario's outcome.
type Row struct {
	Title   string
	Verdict string // passed, FAILED, skipped
	Took    time.Duration
	Load    load.Result // All loads of the scenario together.
	Facts   []string
}

// Table collects rows.
type Table struct {
	mu    sync.Mutex
	mode  cluster.Mode
	begin time.Time
	rows  []Row
	out   []string // Titles of scenarios that this mode cannot run.
}

func (t *Table) leftOut(title string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out = append(t.out, title)
}

func (t *Table) add(r Row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
}

// Counts of passed and failed scenarios.
func (t *Table) Counts() (passed, failed int) {
	for _, r := range t.rows {
		switch r.Verdict {
		case "passed":
			passed++
		case "FAILED":
			failed++
		}
	}
	return
}

// Markdown is the table of a run.
func (t *Table) Markdown() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out strings.Builder
	fmt.Fprintf(&out, "| scenario | verdict | s | requests | failed | sent again | p50 ms | p99 ms | what was seen |\n|---|---|---|---|---|---|---|---|---|\n")
	total := 0
	for _, r := range t.rows {
		total += r.Load.Sent
		again := fmt.Sprint(r.Load.Again)
		failed := fmt.Sprint(r.Load.Failed)
		facts := append([]string{}, r.Facts...)
		for why, count := range r.Load.Reasons {
			facts = append(facts, fmt.Sprintf("%d × %s", count, why))
		}
		fmt.Fprintf(&out, "| %s | %s | %.0f | %d | %s | %s | %.1f | %.1f | %s |\n", r.Title, r.Verdict, r.Took.Seconds(), r.Load.Sent, failed, again,
			ms(r.Load.Percentile(0.5)), ms(r.Load.Percentile(0.99)), strings.ReplaceAll(strings.Join(facts, "; "), "|", "\\|"))
	}
	fmt.Fprintf(&out, "\nMode %s, %d requests in %.0f s.\n", t.mode, total, time.Since(t.begin).Seconds())
	return out.String()
}

// Finish prints the table and writes it to the file named by RINGWAY_E2E_TABLE.
func (t *Table) Finish() {
	text := t.Markdown()
	fmt.Print("\n" + text + "\n")
	if len(t.out) > 0 {
		fmt.Printf("left out: e2e: scenarios that need pods (`./dev e2e` without --api) or more: %s\n", strings.Join(t.out, "; "))
	}
	if path := os.Getenv("RINGWAY_E2E_TABLE"); path != "" {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "table:", err)
		}
	}
	passed, failed := t.Counts()
	fmt.Printf("%d passed, %d failed\n", passed, failed)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
