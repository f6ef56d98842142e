"""The Python program that scrape is compared with: aiohttp and BeautifulSoup (lxml), as one would
write it. Usage: scrape.py URLS OUTPUT CONNECTIONS"""

import asyncio
import json
import sys
from urllib.parse import urljoin

import aiohttp
from bs4 import BeautifulSoup


def extract(url, html):
    page = BeautifulSoup(html, "lxml")

    def text(css):
        found = page.select_one(css)
        return found.get_text(" ", strip=True) if found else None

    product = page.select_one("div.product")
    image = page.select_one("div.product img")
    description = page.find("meta", attrs={"name": "description"})
    return {
        "title": text("title"),
        "heading": text("h1.page-title"),
        "description": description["content"] if description else None,
        "price": text("div.product span.price"),
        "sku": product["data-sku"] if product else None,
        "image": urljoin(url, image["src"]) if image else None,
        "tags": [tag.get_text(strip=True) for tag in page.select("ul.tags > li")],
        "related": [urljoin(url, a["href"]) for a in page.select("article.card a.link")[:20]],
    }


async def main(urls_path, output_path, connections):
    with open(urls_path) as file:
        urls = iter(file.read().split())
    rows = 0
    with open(output_path, "w") as output:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:

            async def work():
                nonlocal rows
                for url in urls:
                    async with session.get(url) as response:
                        html = await response.text()
                    output.write(json.dumps(extract(url, html)) + "\n")
                    rows += 1

            await asyncio.gather(*(work() for _ in range(connections)))
    print(json.dumps({"rows": rows}))


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
