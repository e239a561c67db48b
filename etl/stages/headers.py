"""What a column's name plainly says: money, a date, a time of day, a zone, or one of our optional columns.

Only names are looked at, by the words in them, in the languages that exports come in. Nothing is mapped here: what
looks like money and is unused is a question to a person, so that a word too many costs one line of settings and a word
too few costs revenue. Long, because words are a list.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import cache


def fold(text: str) -> str:
    """Without case, accents and width: ``Währung`` and ``WAHRUNG`` are one word."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", plain)).translate(_LETTERS)


_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "a", "ı": "i", "œ": "o"})


def _set(*texts: str) -> frozenset[str]:
    return frozenset(fold(word) for text in texts for word in text.split())


# -- words

_REVENUE = _set(
    "revenue revenues turnover sales gmv mrr arr acv tcv proceeds earnings takings income",
    "umsatz umsätze erlös erlöse einnahmen ertrag chiffre recette recettes ingresos ingreso facturación ventas",
    "ricavo ricavi fatturato incasso omzet opbrengst receita faturamento vendas omsättning intäkt intäkter",
    "omsætning",
    "omsetning liikevaihto myynti przychód przychody obrót utarg tržby tržba obrat příjem bevétel",
    "árbevétel venituri",
    "выручка доход оборот дохід виручка έσοδα τζίρος ciro gelir hasılat 売上 売上高 売上金額 收入 营业额",
    "销售额 營業額",
    "매출 매출액 إيرادات הכנסות הכנסה pendapatan doanh",
)
_AMOUNTS = _set(
    "amount amounts amt total totals subtotal sum value price prices gross net worth refund refunded",
    "betrag beträge summe summen preis wert brutto netto gesamt montant somme prix valeur brut importe",
    "monto precio",
    "valor suma bruto neto importo prezzo valore somma lordo totale totaal bedrag prijs waarde preço",
    "quantia montante",
    "líquido belopp pris värde summa beløb beløp værdi verdi hinta arvo kwota cena wartość razem částka",
    "hodnota celkem",
    "összeg ár érték végösszeg sumă preț valoare сумма цена стоимость итого сума ціна вартість ποσό τιμή",
    "σύνολο αξία",
    "tutar fiyat toplam bedel 金額 金额 价格 価格 價格 合計 合计 总额 総額 總額 금액 가격 합계 المبلغ",
    "السعر الإجمالي סכום",
    "מחיר jumlah harga tổng",
)
_NOT_REVENUE = _set(
    # of other money
    "tax taxes vat gst hst pst mwst ust steuer steuern umsatzsteuer mehrwertsteuer iva tva taxe impuesto impuestos",
    "imposta imposto btw moms mva alv podatek dph áfa ндс pdv kdv 税 税額 세금",
    "shipping postage freight delivery handling versand versandkosten porto fracht lieferung livraison",
    "port envío envio",
    "flete spedizione frete verzending verzendkosten frakt fragt rahti wysyłka doprava szállítás доставка",
    "送料 运费 배송비",
    "discount discounts rebate rabatt rabatte nachlass remise réduction descuento sconto desconto korting",
    "rabat sleva",
    "скидка 割引 折扣 할인 fee fees commission commissions gebühr gebühren provision provisionen frais comisión",
    "commissione comissão taxa kosten cost costs cogs expense expenses spend budget margin profit tip tips",
    "gratuity",
    "deposit balance outstanding saldo solde limit threshold goal quota coupon voucher gutschein bon gift",
    "average avg",
    # no amount at all
    "id ids number no nr num numéro numero nummer code codes sku name names type types kind status state",
    "method mode",
    "zahlungsart date datum day month year time at on percent pct rate ratio score rank index category",
    "class group list",
    "tier level url link note notes comment comments description label title source term terms provider gateway",
    "processor reference ref account card bank iban bic token hash flag is has count counts quantity qty",
    "menge anzahl",
    "points weight gewicht size version channel rep person team owner manager stage region office email mail phone",
    "user users visitor visitors visit visits session sessions click clicks view views impression",
    "impressions hour hours",
    "minutes days duration age length distance mileage promoter proposition address street city country",
    "zip formula",
)
_HOPED = _set("expected weighted estimated forecast predicted projected target lifetime annual monthly previous old")
_COUNTED = _set("orders items products units pieces articles artikel bestellungen purchases transactions conversions")
_PLAIN = _set(
    "order purchase sale deal cart basket checkout transaction invoice booking conversion item line",
    "lineitem product",
    "goods lead opportunity contract ticket grand final paid payable due charged captured settled customer billing",
    "original converted local company home base shop store presentment settlement in of for the and",
    "excluding including",
    "unit single expected weighted estimated closed won lifetime annual monthly first last net gross my our",
    "bestellung bestell auftrag auftrags rechnung rechnungs waren ware warenkorb kauf verkauf verkaufs end",
    "zahlung zahl",
    "einzel stück kunden vertrag vertrags einkauf order gesamt rein roh von der des in",
    "de del des du da do di d la le les l el a à al en por pedido venta compra commande vente achat panier facture",
    "affaires ordine vendita acquisto fattura carrello encomenda venda fatura factura orden bestelling",
    "verkoop aankoop",
    "factuur winkelwagen köp försäljning faktura ordre køb salg kjøp tilaus zamówienia zamówienie",
    "sprzedaży objednávky",
    "rendelés заказа заказ продажи покупки замовлення 注文 订单 注文金額 订单金额 주문 결제 支払 支付 thu",
)
_WITH_OR_WITHOUT = _set(
    "incl inc including included excl exc ex excluding excluded before after with without inkl exkl",
    "inklusive exklusive",
    "zzgl ohne mit nach vor hors avec sans ttc ht con sin incluido incluida senza esclusa inclusa",
    "exclusief inclusief",
    "com sem vóór na z bez",
)
_DATES = _set(
    "date dates datum day tag jour fecha día dia data giorno dag dato päivä päivämäärä data dzień den",
    "dátum nap дата день",
    "ημερομηνία tarih gün 日付 日期 날짜 التاريخ תאריך tanggal ngày",
)
_TIMES = _set(
    "time uhrzeit zeit hour heure hora ora orario tijd tijdstip tid klockslag kl klokkeslæt klokkeslett",
    "kello godzina",
    "czas čas hodina idő óra время час ώρα saat 時刻 時間 时间 時間 시간 الوقت שעה waktu giờ",
)
_MOMENTS = _set("timestamp datetime zeitstempel zeitpunkt horodatage instant moment epoch unix millis ms")
_NOT_TIME = _set(
    "zone zones delivery lead response processing process handling on spent first session page per duration travel",
    "run up total average avg shipping waiting wait liefer bearbeitungs expiry expiration due update",
    "updated modified",
    "zeitzone fuseau zona horaria fuso",
)
_TIME_PLAIN = _set(
    "order transaction event purchase created creation close closed conversion sale payment paid local utc",
    "gmt of day",
    "the local completed completion bestell kauf auftrags ereignis de del la commande pedido ordine deal at start",
)
_ZONES = (
    *("time zone", "timezone", "tz", "zeitzone", "fuseau horaire", "zona horaria", "fuso orario", "fuso horario"),
    *("tijdzone", "tidszon", "tidszone", "tidssone", "strefa czasowa", "utc offset", "gmt offset", "часовой пояс"),
)

_OURS: dict[str, frozenset[str]] = {
    "email": _set("email mail emailadresse mailadresse courriel correo ecorreo eposta epost эл メール 邮箱 이메일"),
    "phone": _set(
        "phone telephone mobile cellphone cell tel telefon telefonnummer handy handynummer mobil",
        "mobilnummer téléphone",
        "portable teléfono móvil telefono cellulare telefone celular telefoon gsm puhelin телефон 電話 电话 전화",
    ),
    "order_id": _set(
        "orderid orderno ordernumber ordernr bestellnummer auftragsnummer bestellnr auftragsnr belegnummer",
        "vorgangsnummer",
        "ordernummer bestelnummer ordrenummer zamówienia 注文番号 订单号 주문번호",
    ),
    "quantity": _set(
        "qty quantity menge anzahl stückzahl quantité cantidad quantità quantidade aantal antal antall määrä"
    ),
    "currency": _set(
        "currency currencycode ccy währung devise moneda valuta moeda waluta měna pénznem валюта 通貨 货币 통화"
    ),
}
_OURS_NOT = _set(
    "opt optin consent status sent opened type kind subject marketing accepts verified source campaign",
    "template domain",
    "hash date at is has valid bounced model device os brand extension country discount stock on available",
    "minimum rate",
    "exchange",
)
_ORDER_WORDS = _set(
    "order bestellung auftrag commande pedido ordine encomenda bestelling zamówienie objednávka заказ",
)
_NUMBER_WORDS = _set("id no nr number num nummer numéro numero número n° n # код номер")

_SYMBOLS = "€$£¥₹₽₩₺₫₴₦฿₱₪₡₲₵₸₼₾"
_CODES = frozenset(
    code
    for codes in (
        "AED ARS AUD BDT BGN BHD BRL CAD CHF CLP CNY COP CZK DKK EGP EUR GBP HKD HUF IDR ILS INR ISK JOD JPY",
        "KES KRW KWD",
        "KZT LKR MAD MXN MYR NGN NOK NZD OMR PHP PKR PLN QAR RSD RUB SAR SEK SGD THB TND TWD UAH USD UYU VND ZAR",
    )
    for code in codes.split()
)
_WORDS_TOO = "ALL ANG AWG BAM BOB CUP GEL LAK MOP PEN RON SOS STN TOP TRY UZS XAF XOF"
_ONLY_IN_BRACKETS = frozenset(_WORDS_TOO.split())
"""Codes of currencies that are words, or parts of names, as well."""

_BRACKETS = re.compile(r"[(\[{（［]([^)\]}）］]*)[)\]}）］]")
_CAMEL = re.compile(r"(?<=[a-zß-öø-ÿ0-9])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]+|[%#°]")


def _words(text: str) -> list[str]:
    return [word for part in _CAMEL.split(text) for word in _WORD.findall(fold(part))]


@cache
def _vocabulary() -> frozenset[str]:
    words = {*_REVENUE, *_AMOUNTS, *_NOT_REVENUE, *_PLAIN, *_COUNTED, *_TIMES, *_DATES, *_TIME_PLAIN, *_MOMENTS}
    return frozenset(word for word in words if len(word) > 2)


@cache
def _taken_apart(word: str) -> tuple[str, ...]:
    """``gesamtbetrag`` and ``totalprice`` as their parts; a word that is known, or has unknown parts, stays whole."""
    known = _vocabulary()
    if word in known or len(word) < 6:
        return (word,)
    for size in range(len(word) - 3, 2, -1):
        head, tail = word[:size], word[size:]
        for joint in ("", "s", "en", "n", "e"):
            if not head.endswith(joint) or head.removesuffix(joint) not in known:
                continue
            rest = _taken_apart(tail)
            if all(part in known for part in rest):
                return (head.removesuffix(joint), *rest)
    return (word,)


def words(text: str) -> list[str]:
    """The words of a name, folded, and long ones taken apart."""
    return [part for word in _words(text) for part in _taken_apart(word)]


# -- money


def currency_of(header: str) -> str | None:
    """The code that a name gives its amounts (``Revenue (EUR)``); None without one, or of several."""
    inner = [part for found in _BRACKETS.findall(header) for part in re.findall("[A-Z]{3}", found)]
    outer_text = _BRACKETS.sub(" ", header)
    outer = re.findall(r"(?<![A-Za-z])[A-Z]{3}(?![A-Za-z])", outer_text)
    codes = {code for code in inner if code in _CODES | _ONLY_IN_BRACKETS} | {code for code in outer if code in _CODES}
    signs = {"€": "EUR", "£": "GBP", "₹": "INR", "₽": "RUB", "₩": "KRW", "₺": "TRY", "₫": "VND", "₴": "UAH"}
    codes |= {code for sign, code in signs.items() if sign in header}
    ends = _words(outer_text)[:1] + _words(outer_text)[-1:]
    codes |= {word.upper() for word in ends if word.upper() in _CODES}  # net_amount_usd
    return codes.pop() if len(codes) == 1 else None


def _names_a_currency(header: str) -> bool:
    return currency_of(header) is not None or any(sign in header for sign in _SYMBOLS)


def is_money(header: str) -> bool:
    """True for a name that is plainly of money which may be the revenue; not of tax, shipping and such."""
    return money_rank(header) is not None


def money_rank(header: str) -> int | None:
    """How likely an amount is the revenue, 0 the likeliest; None for a name that is not plainly of such an amount."""
    base = _BRACKETS.sub(" ", header)
    has_currency = _names_a_currency(header)
    found = words(base)
    if has_currency:
        found = [word for word in found if word.upper() not in _CODES]
    found = _without_what_is_included(found)
    if _is_something_else(found):
        return None
    if any(word in _REVENUE for word in found):
        return 6 if _HOPED & {*found} else 0
    if _is_amount(found):
        return _rank(found)
    return 4 if has_currency else None


def _without_what_is_included(found: list[str]) -> list[str]:
    """Without what an amount is said to hold or not to hold: ``total incl. shipping``, ``Betrag zzgl. MwSt``."""
    at = next((place for place, word in enumerate(found) if word in _WITH_OR_WITHOUT), None)
    if not at:
        return found
    while at > 1 and found[at - 1] in _NOT_REVENUE:  # "total tax included"
        at -= 1
    return found[:at]


def _is_something_else(found: list[str]) -> bool:
    if found and found[-1] in _COUNTED and not any(word in _REVENUE for word in found):
        return True
    in_a_currency = "in" in found
    for word in found:
        if word in _NOT_REVENUE or (word in _OURS["currency"] and not in_a_currency):
            return True
    return "%" in found or "#" in found


def _is_amount(found: list[str]) -> bool:
    """``order total``, ``montant de la commande``: the amount at the end, or at the beginning of nothing unknown."""
    if not found:
        return False
    known = _PLAIN | _AMOUNTS | _COUNTED | _OURS["currency"]
    return found[-1] in _AMOUNTS or (found[0] in _AMOUNTS and all(word in known for word in found))


_RANKS = (
    _set(
        "total gesamt totale totaal celkem razem toplam итого 合計 合计 합계 总额 総額",
        "betrag summe montant importe importo",
    ),
    _set(
        "amount amt gross brutto brut bruto lordo bedrag belopp beløb kwota částka сумма 金額 金额 금액",
        "valor tutar",
    ),
    _set("net netto neto"),
)


def _rank(found: list[str]) -> int:
    if _HOPED & {*found} or {"unit", "einzel", "stuck", "refund", "refunded", "line", "lineitem", "single"} & {*found}:
        return 6
    rank = next((place for place, some in enumerate(_RANKS, 1) if some & {*found}), 4)
    return 5 if "subtotal" in found else rank


def likeliest_money(headers: Iterable[str]) -> list[str]:
    """Those of the names that are plainly money, the likeliest revenue first."""
    ranked = [(rank, place, name) for place, name in enumerate(headers) if (rank := money_rank(name)) is not None]
    return [name for _, _, name in sorted(ranked)]


def is_plainly_revenue(header: str) -> bool:
    """True for a name that says revenue, in some language."""
    return money_rank(header) == 0


# -- dates, times, zones


def is_date(header: str) -> bool:
    """True for a name that speaks of a day and of no time of day."""
    found = words(header)
    return any(word in _DATES for word in found) and not any(word in _TIMES or word in _MOMENTS for word in found)


def is_time_of_day(header: str) -> bool:
    """True for a name that is plainly of a time of day, as it stands beside a date."""
    if is_zone(header):
        return False
    found = words(_BRACKETS.sub(" ", header))
    if not any(word in _TIMES for word in found) or any(word in _DATES | _NOT_TIME | _MOMENTS for word in found):
        return False
    return all(word in _TIMES or word in _TIME_PLAIN for word in found)


def is_zone(header: str) -> bool:
    """True for a name that is plainly of the time zone of the row's moment."""
    text = " ".join(_words(header))
    return text in _zones() or text.removeprefix("order ") in _zones()


@cache
def _zones() -> frozenset[str]:
    return frozenset(fold(zone) for zone in _ZONES)


# -- ours


def plainly_ours(header: str, wanted: Collection[str]) -> str | None:
    """Which of these canonical columns a name plainly means: email, phone, order_id, quantity or currency."""
    flat = re.sub(r"(?i)\be[\s._-]?(?=mail)", "e", header)
    found = _words(_BRACKETS.sub(" ", flat))
    if not found or any(word in _OURS_NOT for word in found):
        return None
    for canonical, some in _OURS.items():
        if canonical in wanted and (any(word in some for word in found) or _says(canonical, found)):
            return None if is_money(header) else canonical
    return None


def _says(canonical: str, found: list[str]) -> bool:
    joined = "".join(found)
    if canonical == "order_id":
        numbered = any(word in _NUMBER_WORDS for word in found)
        return joined in _OURS[canonical] or (numbered and any(word in _ORDER_WORDS for word in found))
    return joined in _OURS[canonical]
