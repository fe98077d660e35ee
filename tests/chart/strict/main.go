// strict reads a stream of Kubernetes objects (YAML) and decodes each as its Go type of the Kubernetes API, strictly: an unknown field, a field
// that is there twice or a value of the wrong type is a fault. Objects of kinds that are not Kubernetes' own are counted and left alone.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	typed, untyped, faults, err := check(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "strict:", err)
		os.Exit(2)
	}
	fmt.Printf("%d objects of Kubernetes' kinds, %d of others, %d faults\n", typed, untyped, faults)
	if faults > 0 {
		os.Exit(1)
	}
}

func check(in io.Reader, out io.Writer) (typed, untyped, faults int, err error) {
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	documents := yaml.NewYAMLReader(bufio.NewReader(in))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return typed, untyped, faults, nil
		}
		if err != nil {
			return typed, untyped, faults, err
		}
		var content map[string]any
		if err := yaml.Unmarshal(document, &content); err != nil {
			return typed, untyped, faults, err
		}
		if len(content) == 0 {
			continue // Comments only.
		}
		_, _, err = decoder.Decode(document, nil, nil)
		switch {
		case runtime.IsNotRegisteredError(err):
			untyped++
		case err != nil:
			faults++
			fmt.Fprintf(out, "%v %v: %v\n", content["kind"], name(content), err)
		default:
			typed++
		}
	}
}

func name(content map[string]any) any {
	metadata, _ := content["metadata"].(map[string]any)
	return metadata["name"]
}
