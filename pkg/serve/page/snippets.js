// The same request for other programs.

const shell = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const goString = (text) => JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => (/[\ud800-\udfff]/.test(c) ? c : "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0")));
const listed = (request) => [...new URLSearchParams(request)];

/** For curl. files are names of pictures, request has pairs of parameters, token says whether one is wanted. */
export function curl(url, files, request, token) {
  const lines = [`curl ${shell(`${url}?${new URLSearchParams(request)}`)}`];
  if (token) lines.push('-H "Authorization: Bearer $CLIPDET_TOKEN"');
  if (files.length === 1) lines.push("-H 'Content-Type: application/octet-stream'", `--data-binary ${shell("@" + files[0])}`);
  else lines.push(...files.map((file) => `-F ${shell(`image=@"${file.replace(/["\\]/g, "\\$&")}"`)}`));
  return lines.join(" \\\n  ") + "\n";
}

/** A program in Go that needs its standard library alone. */
export function go(url, files, request, token) {
  const values = new Map();
  for (const [key, value] of listed(request)) values.set(key, [...(values.get(key) ?? []), goString(value)]);
  const widest = Math.max(...[...values.keys()].map((key) => goString(key).length)); // as gofmt aligns them
  const parameters = [...values].map(([key, list]) => `\t\t${(goString(key) + ":").padEnd(widest + 1)} {${list.join(", ")}},`);
  return `package main

import (
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
)

func main() {
	query := url.Values{
${parameters.join("\n")}
	}
	for _, name := range []string{${files.map(goString).join(", ")}} {
		if err := detect(name, query); err != nil {
			log.Fatalf("%s: %v", name, err)
		}
	}
}

// detect prints what is found in a picture, as JSON.
func detect(name string, query url.Values) error {
	picture, err := os.Open(name)
	if err != nil {
		return err
	}
	defer picture.Close()
	request, err := http.NewRequest(http.MethodPost, ${goString(url)}+"?"+query.Encode(), picture)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/octet-stream")
${token ? '\trequest.Header.Set("Authorization", "Bearer "+os.Getenv("CLIPDET_TOKEN"))\n' : ""}	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		_, err = io.Copy(os.Stderr, response.Body)
		log.Print(response.Status)
		return err
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
`;
}
