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
    "выручка доход оборот дохід виручка έσοδα τζίρος",
    "ciro gelir hasılat 売上 売上高 売上金額 收入 营业额",
    "销售额 營業額",
    "매출 매출액 إيرادات הכנסות הכנסה pendapatan penjualan doanh ยอดขาย รายได้ आय",
    "выручки доходы обороты cirosu gelirleri satışlar tulot liikevaihtoa",
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
    "السعر الإجمالي סכום סכום",
    "מחיר jumlah harga tổng tiền nominal",
    "総計 小計 代金 料金 売価 単価 单价 價錢 款 总计 總計 小计 額 额 총액 액 단가 대금",
    "ยอดรวม ยอดเงิน ราคา ราคารวม จำนวนเงิน มูลค่า राशि कीमत मूल्य मूल्य",
    "yhteensä loppusumma kokonaissumma zapłaty zapłacono cen ceny wartości kwoty sumy",
    "tutarı fiyatı bedeli toplamı auftragsvolumen umsatzvolumen geschäftsvolumen payout payouts",
    "сумму стоимости суммы цены платеж платёж оплата τιμές πληρωτέο",
)
_NOT_REVENUE = _set(
    # of other money
    "mwst mw ust tax taxes vat gst hst pst mwst",
    "ust steuer steuern umsatzsteuer mehrwertsteuer iva tva taxe impuesto impuestos",
    "imposta imposto btw moms mva alv podatek dph áfa ндс pdv kdv 税 税額 세금",
    "shipping postage freight delivery handling versand versandkosten porto fracht lieferung livraison",
    "port envío envio",
    "flete spedizione frete verzending verzendkosten frakt fragt rahti wysyłka doprava szállítás доставка",
    "送料 运费 배송비",
    "discount discounts rebate rabatt rabatte nachlass remise réduction descuento sconto desconto korting",
    "rabat sleva",
    "скидка скидки доставки налог налога 割引 折扣",
    "優惠 优惠 할인 運賃 運費 手数料 手续费",
    "수수료 配送料 消費税 ส่วนลด ภาษี fee fees",
    "commission commissions gebühr gebühren provision provisionen frais comisión",
    "commissione comissão taxa kosten cost costs cogs expense expenses spend budget margin profit tip tips",
    "gratuity",
    "deposit balance outstanding saldo solde limit threshold goal quota coupon voucher gutschein bon gift",
    "average avg",
    # no amount at all
    "id ids number no nr num numéro numero nummer code codes sku name names type types kind status state",
    "method mode",
    "zahlungsart date datum day month year time at on percent pct rate ratio score rank index category",
    "class group list",
    "tier level url link note notes comment comments",
    "description label title source term terms provider gateway",
    "processor reference ref account card bank iban bic token hash flag is has count counts quantity qty",
    "menge anzahl",
    "points weight gewicht size version channel rep person",
    "team owner manager stage region office email mail phone",
    "user users visitor visitors visit visits session sessions click clicks view views impression",
    "impressions hour hours",
    "share model bracket band segment retention growth recognition stream center centre share forecasted",
    "minutes days duration age length distance mileage promoter proposition address street city country",
    "zip formula",
)
_HOPED = _set("expected weighted estimated forecast predicted projected target lifetime annual monthly previous old")
_LIFE = _set("spent")
_COUNTED = _set("orders items products units pieces articles artikel bestellungen purchases transactions conversions")
_PLAIN = _set(
    "order purchase sale deal cart basket checkout transaction invoice booking conversion item line",
    "lineitem product",
    "goods lead opportunity contract ticket grand final",
    "paid payable due charged captured settled customer billing",
    "original converted local company home base shop store presentment settlement in of for the and",
    "excluding including",
    "unit single expected weighted estimated closed won lifetime annual monthly first last net gross my our",
    "bestellung bestell auftrag auftrags rechnung rechnungs waren ware warenkorb kauf verkauf verkaufs end",
    "zahlung zahl",
    "einzel stück kunden vertrag vertrags einkauf order gesamt rein roh von der des in",
    "de del des du da do di d la le les l el",
    "a à al en por pedido venta compra commande vente achat panier facture",
    "affaires ordine vendita acquisto fattura carrello encomenda venda fatura factura orden bestelling",
    "verkoop aankoop",
    "factuur winkelwagen köp försäljning faktura ordre køb salg kjøp tilaus zamówienia zamówienie",
    "sprzedaży objednávky",
    "rendelés заказа заказ продажи покупки замовлення 注文 订单 訂單 주문",
    "결제 支払 支付 実付 實付 实付 購入 thu thành do",
    "paid spent cobrado cobrada pagado pagada payé",
    "payée encaissé pagato incassato betaald betalt geschäfts geschäft",
    "abschluss positions position konversions sipariş satış do na",
)
_WITH_OR_WITHOUT = _set(
    "incl inc including included excl exc ex excluding excluded before after with without inkl exkl",
    "inklusive exklusive 税込 税抜 含税 不含税 未税 부가세포함",
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
    "kello godzina klokken klokke kellonaika aika időpont saati horário ore ceasul uhr hhmm",
    "czas čas hodina idő óra время час ώρα saat 時刻 時間 时间 時間 시간 الوقت שעה waktu giờ",
)
_MOMENTS = _set("timestamp datetime zeitstempel zeitpunkt horodatage instant moment epoch unix millis ms")
_NOT_TIME = _set(
    "zone zones delivery lead response processing process handling",
    "on spent first session page per duration travel",
    "run up total average avg shipping waiting wait liefer bearbeitungs expiry expiration due update",
    "updated modified",
    "zeitzone fuseau zona horaria fuso",
)
_LENGTHS = tuple(
    _set("liefer bearbeitung warte laufzeit dauer durée duración durata duur vertragslauf wacht kesto lengd")
)
"""How words begin that are of a length of time."""
_TIME_PLAIN = _set(
    "order transaction event purchase created creation close closed conversion sale payment paid local utc",
    "gmt of txn trans settlement checkout booking won lost deal invoice zahlung zahlungs",
    "заказа покупки оплаты 注文 下单 订单 訂單 주문 결제",
    "購入 sipariş do del pedido comenzii ordre bestel bestelling",
    "the local completed completion bestell kauf auftrags ereignis",
    "de del la commande pedido ordine deal at start",
)
_ZONES = (
    *("time zone", "timezone", "tz", "zeitzone", "fuseau horaire", "zona horaria", "fuso orario", "fuso horario"),
    *(
        "zone",
        "gmt",
        "offset",
        "tz offset",
        "timezone name",
        "time zone name",
        "time zone offset",
        "huso horario",
        "fuso",
    ),
    *("タイムゾーン", "时区", "時區", "시간대", "saat dilimi", "fus orar", "aikavyohyke", "idozona"),
    *("tijdzone", "tidszon", "tidszone", "tidssone", "strefa czasowa", "utc offset", "gmt offset", "часовой пояс"),
)

_MINOR = {
    **dict.fromkeys(
        _set(
            "cent cents pence pennies penny centimes centime",
            "centavos centavo céntimos céntimo centesimi öre øre grosze",
            "groszy haléře haléřů копейки копейках копеек paise subunits minorunits minor",
        ),
        100,
    ),
    **dict.fromkeys(_set("micros micro microunits"), 1_000_000),
    **dict.fromkeys(_set("mills millis fils"), 1000),
}
"""Words for parts of a currency's unit -> how many of them it has."""

_HINTS = _set(
    "paid billed invoiced charged charge payout payouts donation",
    "donations pledge fare premium cash money spend spent",
    "rev ltv clv payment payments settled captured order deal sale purchase invoice booking",
    "bezahlt gezahlt zahlung zahlungen rechnung bestellung auftrag",
    "kauf verkauf spende paye paiement don encaisse",
    "pagado cobrado pago donativo pagato incassato",
    "pagamento betaald betaling betalt zaplaceno zaplacono oplacheno",
    "оплачено оплата 支払 支付 결제",
)
"""Words that may mean an amount or something else: the cells decide."""

_OURS: dict[str, frozenset[str]] = {
    "email": _set("email mail emailadresse mailadresse courriel correo ecorreo eposta epost эл メール 邮箱 이메일"),
    "phone": _set(
        "phone telephone mobile cellphone cell tel telefon telefonnummer handy handynummer mobil",
        "mobilnummer téléphone",
        "portable teléfono móvil telefono cellulare telefone celular",
        "telefoon gsm puhelin телефон 電話 电话 전화",
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
        "KZT LKR MAD MXN MYR NGN NOK NZD OMR PHP PKR PLN QAR",
        "RSD RUB SAR SEK SGD THB TND TWD UAH USD UYU VND ZAR",
    )
    for code in codes.split()
)
_WORDS_TOO = "ALL ANG AWG BAM BOB CUP GEL LAK MOP PEN RON SOS STN TOP TRY UZS XAF XOF"
_ONLY_IN_BRACKETS = frozenset(_WORDS_TOO.split())
"""Codes of currencies that are words, or parts of names, as well."""

_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_AMOUNT_ENDINGS = tuple(
    _set("betrag beträge summe summa bedrag belopp beløb beloep umsatz erlös omzet hinta tutarı fiyatı")
)
"""Ends of compounds that are amounts, whatever of."""

_BRACKETS = re.compile(r"[(\[{（［]([^)\]}）］]*)[)\]}）］]")
_CAMEL = re.compile(r"(?<=[a-zß-öø-ÿ0-9])(?=[A-Z])")
_WORD = re.compile(r"(?:[^\W\d_]|[\u0900-\u0dff\u0e00-\u0eff])+|[%#°]")


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
    if word in known:
        return (word,)
    if _EAST_ASIAN.search(word):
        return tuple(_east_asian_parts().findall(word))
    if len(word) < 6:
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


@cache
def _east_asian_parts() -> re.Pattern[str]:
    """Words of those that have no gaps between them, the longest first, and single characters for the rest."""
    lists = (_NOT_REVENUE, _AMOUNTS, _REVENUE, _WITH_OR_WITHOUT, _PLAIN, _HINTS, _TIMES, _DATES, _NOT_TIME, _TIME_PLAIN)
    every = {word for some in (*lists, *_OURS.values()) for word in some}
    known = sorted(filter(_EAST_ASIAN.search, every), key=len, reverse=True)
    return re.compile("|".join([*map(re.escape, known), "."]))


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


def minor_units(header: str) -> int | None:
    """How many of the parts that a name speaks of make a unit: 100 for ``amount_cents``; None where it does not."""
    found = [word for word in words(header) if word in _MINOR]
    return _MINOR[found[0]] if found else None


def may_be_revenue(header: str) -> bool:
    """False for a name that is plainly of something else: of tax, of a date, of an id, or of one of our columns."""
    found = _without_what_is_included(words(_BRACKETS.sub(" ", header)))
    if is_zone(header) or any(word in _DATES | _TIMES | _MOMENTS for word in found):
        return False
    return not _is_something_else(found) and plainly_ours(header, tuple(_OURS)) is None


def hints_at_money(header: str) -> bool:
    """True for a name that may mean an amount, where its cells look like some."""
    found = words(_BRACKETS.sub(" ", header))
    return any(word in _HINTS for word in found) and all(
        word in _HINTS | _PLAIN | _AMOUNTS | _COUNTED | _TIME_PLAIN or len(word) < 3 for word in found
    )


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
    found = [word for word in _without_what_is_included(found) if word not in _MINOR]
    if " ".join(found) in _PHRASES:
        return 2
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


_SALES_OF = _set("sales sale revenue vertriebs ventas vendas sprzedaży продажи")
_DOCUMENT = _set("order deal invoice opportunity lead document receipt contract quote")


def _is_a_document(found: list[str]) -> bool:
    """``Sales Order``: the order itself, not what was sold."""
    return len(found) > 1 and found[-1] in _DOCUMENT and found[-2] in _SALES_OF


def _is_something_else(found: list[str]) -> bool:
    if found and found[-1] in _COUNTED and not any(word in _REVENUE for word in found):
        return True
    if _is_a_document(found):
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
    if any(_is_compound_amount(word) for word in found):
        return True
    return found[-1] in _AMOUNTS or (found[0] in _AMOUNTS and all(word in known for word in found))


def _is_compound_amount(word: str) -> bool:
    """``bestelbedrag``, ``loppusumma``: an amount of whatever, but for those of tax, shipping and the like."""
    if not word.endswith(_AMOUNT_ENDINGS) or len(word) < 8:
        return False
    return not any(word.startswith(other) for other in _NOT_REVENUE if len(other) > 2)


_PHRASES = {"deal size", "продажи", "ca", "ca ht", "ca ttc", "ca net", "ca brut"}
"""Names that are money only as a whole, such as the French chiffre d'affaires."""

_RANKS = (
    _set(
        "total gesamt totale totaal celkem razem toplam итого 合計 合计 합계 总额 総額",
        "betrag summe montant importe importo",
    ),
    _set(
        "amount amt gross brutto brut bruto lordo bedrag",
        "belopp beløb kwota částka сумма 金額 金额 금액",
        "valor tutar",
    ),
    _set("net netto neto"),
)


def _rank(found: list[str]) -> int:
    if (_HOPED | _LIFE) & {*found} or {
        "unit",
        "einzel",
        "stuck",
        "refund",
        "refunded",
        "line",
        "lineitem",
        "single",
    } & {*found}:
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
    if " ".join(found) in ("time of day", "hour of day"):
        return True
    if not any(word in _TIMES for word in found) or any(word in _DATES | _NOT_TIME | _MOMENTS for word in found):
        return False
    return all(word in _TIMES or word in _TIME_PLAIN for word in found)


def may_be_time_of_day(header: str) -> bool:
    """False for a name that is plainly of a length of time, or of another moment than the row's."""
    found = words(_BRACKETS.sub(" ", header))
    return not any(word in _NOT_TIME | _MOMENTS or word.startswith(_LENGTHS) for word in found)


def is_zone(header: str) -> bool:
    """True for a name that is plainly of the time zone of the row's moment."""
    text = " ".join(_words(header))
    return text in _zones() or text.split(" ", 1)[-1] in _zones() - {"offset", "zone", "fuso", "gmt"}


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
